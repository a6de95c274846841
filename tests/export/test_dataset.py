"""Episodes read from a real collector's journal, against an env whose observations name them."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tests.tasks import Clock

from sac_lightning.collect.collector import Collector
from sac_lightning.envs import action_spec, obs_spec
from sac_lightning.export import Rows, episodes, read_rows
from sac_lightning.replay import Journal, ReplayBuffer
from sac_lightning.training.module import SACModule

STEPS = 97


class Numbered(Clock):
    """Observes (1000 · number + episode, step); lengths differ between envs and episodes."""

    def __init__(self, number: int, truncates: bool) -> None:
        super().__init__(length=3 + number, truncates=truncates)
        self.number = number

    def reset(self, **options: Any) -> Any:
        self.length = 3 + (self.number + self.episode) % 5
        self.ends_otherwise = (self.number + self.episode) % 3 == 0
        return super().reset(**options)

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        if self.ends_otherwise:
            terminated, truncated = truncated, terminated
        return obs, reward, terminated, truncated, info

    def _obs(self) -> Any:
        return np.array([1000 * self.number + self.episode, self.count], dtype=np.float32)


def collected(folder: Path, num_envs: int, mode: str, truncates: bool, capacity: int) -> Rows:
    """The rows of the newest checkpoint of a run that saved every ten steps."""
    autoreset = {"same_step": AutoresetMode.SAME_STEP, "next_step": AutoresetMode.NEXT_STEP}[mode]
    made = [partial(Numbered, number, truncates) for number in range(num_envs)]
    envs = SyncVectorEnv(made, autoreset_mode=autoreset)
    specs = obs_spec(envs.single_observation_space), action_spec(envs.single_action_space)
    replay = ReplayBuffer.of(capacity, *specs)
    collector = Collector(
        envs,
        specs[1],
        replay,
        env_seed=0,
        action_seed=0,
        learning_starts=10**9,
        next_step_autoreset=mode == "next_step",
    )
    journal, policy = Journal(folder), SACModule(*specs).policy
    for step in range(1, STEPS + 1):
        collector.collect(policy, 1)
        if step % 10 == 0 or step == STEPS:
            manifest = journal.save(replay)
    return read_rows({"journal": manifest, "replay": replay.state_dict()}, folder, specs)


@pytest.mark.parametrize("capacity", [10_000, 50])
@pytest.mark.parametrize("truncates", [True, False])
@pytest.mark.parametrize("mode", ["same_step", "next_step"])
@pytest.mark.parametrize("num_envs", [1, 2, 5])
def test_every_episode_is_what_the_env_said(
    num_envs: int, mode: str, truncates: bool, capacity: int, tmp_path: Path
) -> None:
    rows = collected(tmp_path, num_envs, mode, truncates, capacity)
    cut = episodes(rows)
    assert sorted(np.concatenate([each.rows for each in cut])) == list(range(len(rows.reward)))
    names = [tuple(np.unique(rows.obs[each.rows, 0])) for each in cut]
    assert all(len(name) == 1 for name in names)
    assert len(set(names)) == len(names)  # no episode in two pieces
    for each in cut:
        steps = rows.obs[each.rows, 1]
        number, episode = divmod(int(rows.obs[each.rows[0], 0]), 1000)
        assert each.env == number
        np.testing.assert_array_equal(np.diff(steps), 1)
        length = 3 + (number + episode - 1) % 5
        terminates = truncates == ((number + episode - 1) % 3 == 0)
        over = steps[-1] + 1 == length
        assert each.ends == (("terminated" if terminates else "truncated") if over else "checkpoint")
        assert (each.begins == "unknown") >= (steps[0] != 0)
    unknown = sum(each.begins == "unknown" for each in cut)
    assert unknown == (0 if rows.first == 0 else num_envs)
    assert (rows.first > 0) == (capacity == 50)


def test_episodes_end_where_a_step_or_a_break_ended_them() -> None:
    """Two envs, alternating; env 1 is truncated back to the same obs; before transition 17 all are cut."""
    env = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    rows = Rows(
        obs=np.zeros((8, 1), np.float32),
        action=np.zeros(8, np.int64),
        reward=np.zeros(8, np.float32),
        next_obs=np.zeros((8, 1), np.float32),
        terminated=np.array([0, 0, 1, 0, 0, 0, 0, 0], bool),
        truncated=np.array([0, 1, 0, 0, 0, 0, 0, 0], bool),
        env=env,
        first=12,
        breaks=[3, 17],
    )
    found = [(each.env, list(each.rows), each.begins, each.ends) for each in episodes(rows)]
    assert found == [
        (0, [0, 2], "unknown", "terminated"),
        (1, [1], "unknown", "truncated"),
        (1, [3], "reset", "truncated"),
        (0, [4], "reset", "truncated"),
        (1, [5, 7], "reset", "checkpoint"),
        (0, [6], "reset", "checkpoint"),
    ]
    assert [each.ends for each in episodes(rows._replace(breaks=[20]))][-2:] == ["truncated", "truncated"]
