"""Returns that are shown are the env's own, whatever wraps the reward."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import ClipReward, TransformReward
from tests.envs.test_wrappers_copy import collector_of
from tests.tasks import Clock, env_config, fit

from sac_lightning import ReplayDataModule, SACModule
from sac_lightning.collect.evaluation import Evaluator
from sac_lightning.envs import EnvConfig, action_spec, obs_spec

CLIP = {"name": "ClipReward", "min_reward": 0.0, "max_reward": 1.0}
HALVE: dict[str, Any] = {"name": "TransformReward", "func": lambda reward: 0.5 * reward}
TWICE = {"name": "RepeatAction", "num_repeats": 2}
PREFIX = __name__.partition(".")[0]


class Shaped(gym.Wrapper[Any, Any, Any, Any]):
    """Adds to the reward, and an info of a name of its own."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, float(reward) + 100.0, terminated, truncated, {**info, "raw_reward": np.zeros(3)}


SHAPED = {"name": f"{__name__}.Shaped"}
# A clock's rewards are 1 + 2 + 3 = 6 an episode. What the agent gets for its steps:
CHAINS: dict[str, tuple[list[dict[str, Any]], list[float]]] = {
    "clipped": ([CLIP], [1.0, 1.0, 1.0]),
    "halved": ([HALVE], [0.5, 1.0, 1.5]),
    "halved and clipped": ([HALVE, CLIP], [0.5, 1.0, 1.0]),
    "shaped": ([SHAPED], [101.0, 102.0, 103.0]),
    "shaped within a stack": (
        [SHAPED, {"name": "FrameStackObservation", "stack_size": 2}, CLIP],
        [1.0, 1.0, 1.0],
    ),
    "repeated": ([TWICE, HALVE], [1.5, 1.5]),  # (1 + 2)/2 and 3/2
}
FACTORIES: dict[str, Callable[[], gym.Env[Any, Any]]] = {
    "factory": lambda: TransformReward(Clock(), lambda reward: -reward),
    "factory of two": lambda: gym.wrappers.TimeLimit(ClipReward(ClipReward(Clock(), 0.0, 2.0), 0.0, 1.0), 9),
}
CONFIGS = {
    **{
        name: lambda chain=chain, **options: env_config(
            Clock, wrappers=chain, allowed_prefixes=[PREFIX], **options
        )
        for name, (chain, _) in CHAINS.items()
    },
    **{name: lambda make=make, **options: env_config(make, **options) for name, make in FACTORIES.items()},
}
ALL = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@ALL
@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_training_episodes_have_the_env_s_returns(
    config: Callable[..., EnvConfig], autoreset: str, vectorization: str
) -> None:
    envs = config(autoreset=autoreset, vectorization=vectorization).build_vector(2)
    collector, _, policy = collector_of(envs, autoreset)
    finished = collector.collect(policy, 9)
    envs.close()
    assert len(finished) >= 4
    assert {episode.ret for episode in finished} == {6.0}


@ALL
def test_so_have_evaluated_ones(config: Callable[..., EnvConfig]) -> None:
    env = config().build()
    policy = SACModule(obs_spec(env.observation_space), action_spec(env.action_space)).policy
    assert Evaluator(config().build, range(3)).run(policy).returns == (6.0, 6.0, 6.0)


@pytest.mark.parametrize("name", CHAINS)
def test_what_is_learned_from_is_what_the_wrappers_give(name: str) -> None:
    envs = CONFIGS[name]().build_vector(1)
    collector, replay, policy = collector_of(envs, "same_step")
    rewards = CHAINS[name][1]
    collector.collect(policy, 2 * len(rewards))
    assert replay.store.reward[: 2 * len(rewards)].tolist() == rewards * 2


def test_envs_whose_episodes_end_apart_keep_their_own_returns() -> None:
    lengths = iter([2, 3, 4])
    config = env_config(lambda: Clock(length=next(lengths)), wrappers=[HALVE])
    collector, _, policy = collector_of(config.build_vector(3), "same_step")
    finished = collector.collect(policy, 12)
    # 1 + 2, 1 + 2 + 3, 1 + 2 + 3 + 4
    assert sorted(finished) == [(3.0, 2)] * 6 + [(6.0, 3)] * 4 + [(10.0, 4)] * 3


def test_they_go_on_in_a_run_that_is_resumed_in_the_middle_of_a_step() -> None:
    def run() -> Any:
        return collector_of(env_config(Clock, wrappers=[HALVE]).build_vector(1), "same_step", overlap=True)

    (collector, _, policy), (other, _, _) = run(), run()
    collector.collect(policy, 1)
    state = collector.state_dict()
    other.load_state_dict(state, torch.device("cpu"), envs_restored=True)
    assert other.state_dict()["pending_step"]["raw_reward"].tolist() == [2.0]
    for each in (collector, other):
        each.close()


def test_rows_and_evaluations_of_a_fit_show_them() -> None:
    data = ReplayDataModule(
        env_config(Clock, wrappers=[CLIP]),
        total_env_steps=60,
        steps_per_epoch=30,
        learning_starts=10,
        batch_size=4,
        eval_episodes=2,
    )
    module = fit(data, {"limit_val_batches": 1}, log_every_n_env_steps=10)
    assert module.latest["rollout/return_mean"] == module.latest["eval/return_mean"] == 6.0
