"""Hindsight: goals that an episode reached, rewards of these goals, and nothing else changed."""

from typing import Any

import numpy as np
import pytest
import torch

from sac_lightning.core.errors import ConfigError
from sac_lightning.replay import HerReplay
from sac_lightning.spaces import DiscreteAction, ObsPart, ObsSpec

# A row is (observation, achieved_goal, desired_goal), a number each.
OBS = ObsSpec(
    (3,),
    "float32",
    tuple(ObsPart(name, (1,), "float32") for name in ("observation", "achieved_goal", "desired_goal")),
)
DRAWS = 4000


class Env:
    """Has what a GoalEnv adds to an env: the reward is minus the distance, the end its being 0."""

    def has_wrapper_attr(self, name: str) -> bool:
        return hasattr(self, name)

    def get_wrapper_attr(self, name: str) -> Any:
        return getattr(self, name)

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -np.abs(achieved - desired)[:, 0]

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> bool:
        return bool((achieved == desired).all())


def her(capacity: int = 50, num_envs: int = 1, **options: Any) -> HerReplay:
    replay = HerReplay(gamma=0.5, **options)
    replay.follow_env(Env(), OBS, DiscreteAction(5))
    replay.allocate(capacity, OBS, DiscreteAction(5), num_envs=num_envs, scratch=DRAWS)
    return replay


def add(replay: HerReplay, number: int, env: int = 0, truncated: bool = False) -> None:
    """Transition `number` starts at `number`, achieves the next number, and wants 100."""
    one = np.ones(1)
    obs, following = ([[number + n, number + n, 100.0]] for n in (0, 1))
    replay.add(
        np.array(obs),
        np.array([number % 5]),
        -(99.0 - number) * one,
        np.array(following),
        np.zeros(1, bool),
        np.array([truncated]),
        np.array([env]),
    )


def goals(replay: HerReplay) -> dict[int, set[float]]:
    """The goals that each transition was drawn with, by its number; every drawn transition is checked."""
    index = replay.draw(1, DRAWS)
    batch = replay.gather(type(index)(index.index[0], index.weight[0]))
    found: dict[int, set[float]] = {}
    for obs, action, reward, following, discount in zip(
        *(batch.obs.tolist(), batch.action.tolist(), batch.reward.tolist()),
        *(batch.next_obs.tolist(), batch.discount.tolist()),
        strict=True,
    ):
        number, goal = int(obs[0]), obs[2]
        assert obs[:2] == [number, number] and following == [number + 1, number + 1, goal]
        assert action == number % 5
        # By hand: minus the distance of what was achieved, number + 1, and the end where that is 0.
        assert reward == -abs(number + 1 - goal)
        assert discount == (0.0 if goal == number + 1 else 0.5)
        found.setdefault(number, set()).add(goal)
    return found


def test_goals_are_those_of_the_strategy() -> None:
    # Two envs in turn: env 0 has the episodes 0 2 | 8 10, env 1 the episode 1 3 5, which still runs.
    expected = {
        "future": {0: {1, 3}, 2: {3}, 8: {9, 11}, 10: {11}, 1: {2, 4, 6}, 3: {4, 6}, 5: {6}},
        "final": {0: {3}, 2: {3}, 8: {11}, 10: {11}, 1: {6}, 3: {6}, 5: {6}},
        "episode": {0: {1, 3}, 2: {1, 3}, 8: {9, 11}, 10: {9, 11}, **{one: {2, 4, 6} for one in (1, 3, 5)}},
    }
    for goal, wanted in expected.items():
        replay = her(num_envs=2, goal=goal, share=1.0)
        for number in (0, 1, 2, 3, 8, 5, 10):
            add(replay, number, env=number % 2, truncated=number in (2, 10))
        assert goals(replay) == {number: set(map(float, each)) for number, each in wanted.items()}


def test_a_share_keeps_its_goal_and_the_ring_is_never_changed() -> None:
    replay = her(share=0.8)
    for number in range(5):
        add(replay, number, truncated=number == 4)
    before = [each.clone() for each in replay.store]
    index = replay.draw(1, DRAWS)
    kept = float((index.index < replay.capacity).float().mean())
    assert abs(kept - 0.2) < 0.03  # five standard deviations
    assert all(torch.equal(a, b) for a, b in zip(replay.store[:-1], before[:-1], strict=True))
    assert (replay.last_index < 5).all()


@pytest.mark.parametrize("goal", ["future", "final", "episode"])
def test_a_full_ring_and_a_resumed_one_take_goals_of_what_is_left(goal: Any) -> None:
    # Ten rows, 13 … 22, of episodes of four: 12 … 15 lost its first one; 20 was broken off, 21 begins anew.
    replay = her(10, goal=goal, share=1.0)
    for number in range(23):
        if number == 21:
            replay.end_episodes()
        add(replay, number, truncated=number % 4 == 3)
    resumed = her(10, goal=goal, share=1.0)
    for ours, theirs in zip(resumed.store, replay.store, strict=True):
        ours.copy_(theirs)
    resumed.load_state_dict(replay.state_dict())
    expected = {}
    for episode in ([13, 14, 15], [16, 17, 18, 19], [20], [21, 22]):
        for at, number in enumerate(episode):
            chosen = {"future": episode[at:], "final": episode[-1:], "episode": episode}[goal]
            expected[number] = {each + 1.0 for each in chosen}
    assert goals(replay) == expected
    replay.generator.set_state(resumed.generator.get_state())
    assert torch.equal(replay.draw(1, 50).index, resumed.draw(1, 50).index)
    assert torch.equal(replay.all_rows.obs[10:60], resumed.all_rows.obs[10:60])


def test_an_env_without_goals_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"replay=her: needs an env .*; this env has a Box of \(3,\)"):
        HerReplay().follow_env(Env(), ObsSpec((3,), "float32"), DiscreteAction(5))
    bare = type("Bare", (Env,), {"has_wrapper_attr": lambda self, name: False})
    with pytest.raises(ConfigError, match="this env has no compute_reward"):
        HerReplay().follow_env(bare(), OBS, DiscreteAction(5))
    with pytest.raises(ConfigError, match=r"replay\.n_step=3: must be 1"):
        HerReplay(n_step=3)
    assert type(her()).makes_transitions
