"""Evaluation: whole episodes, by the mode, from seeds of their own."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from sac_lightning import ConfigError, Policy, SACModule
from sac_lightning.envs import action_spec, obs_spec
from sac_lightning.evaluation import Evaluation, Evaluator
from tasks import Clock, Step, env_config


class Lottery(gym.Env[Any, Any]):
    """The seed chooses the first obs and the length; the reward is the action."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(2, 9))
        return self._obs(), {}

    def step(self, action: Any) -> Step:
        self.left -= 1
        return self._obs(), float(action[0]), self.left == 0, False, {}

    def _obs(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)


def policy_for(env: gym.Env[Any, Any], seed: int = 0) -> Policy:
    return SACModule(obs_spec(env.observation_space), action_spec(env.action_space), seed=seed).policy


def test_the_same_seeds_give_the_same_result_twice() -> None:
    policy = policy_for(Lottery())
    evaluator = Evaluator(env_config(Lottery).build, range(100, 107), side_by_side=3)
    first = evaluator.run(policy)
    torch.manual_seed(5)
    np.random.seed(5)
    assert evaluator.run(policy) == first  # the envs are kept and begin anew
    assert Evaluator(env_config(Lottery).build, range(100, 107), side_by_side=3).run(policy) == first
    assert Evaluator(env_config(Lottery).build, range(200, 207), side_by_side=3).run(policy) != first


def test_evaluation_draws_no_random_number() -> None:
    before = torch.get_rng_state()
    policy = policy_for(Lottery())
    Evaluator(env_config(Lottery).build, range(3)).run(policy)
    assert torch.equal(before, torch.get_rng_state())


def test_the_return_of_an_episode_is_that_of_playing_it_by_hand() -> None:
    policy = policy_for(Lottery())
    result = Evaluator(env_config(Lottery).build, [3, 8, 13], side_by_side=2).run(policy)
    for seed, ret, length in zip((3, 8, 13), result.returns, result.lengths, strict=True):
        env = Lottery()
        obs, _ = env.reset(seed=seed)
        total, steps, over = 0.0, 0, False
        while not over:
            obs, reward, over, _, _ = env.step(policy.act(obs, deterministic=True))
            total, steps = total + reward, steps + 1
        assert (ret, length) == (pytest.approx(total, abs=1e-5), steps)


@pytest.mark.parametrize("side_by_side", [1, 2, 10])
def test_every_seed_is_one_episode_in_its_own_order(side_by_side: int) -> None:
    policy = policy_for(Lottery())
    result = Evaluator(env_config(Lottery).build, range(5), side_by_side).run(policy)
    alone = Evaluator(env_config(Lottery).build, range(5), 1).run(policy)
    assert result.returns == pytest.approx(alone.returns, abs=1e-5)  # a wider product rounds differently
    expected = []
    for seed in range(5):
        env = Lottery()
        env.reset(seed=seed)
        expected.append(env.left)
    assert list(result.lengths) == expected and len(result.returns) == 5


def test_the_mode_acts() -> None:
    policy = policy_for(Clock())
    with torch.no_grad():  # probabilities (0.2, 0.5, 0.3): a sample would often be 0 or 2
        policy.actor.layers[-1].weight.zero_()
        policy.actor.layers[-1].bias.copy_(torch.tensor([0.2, 0.5, 0.3]).log())
    clocks: list[Clock] = []

    def build() -> Clock:
        clocks.append(Clock(length=20))
        return clocks[-1]

    Evaluator(build, range(3)).run(policy)
    assert len(clocks) == 3 and all(clock.actions == [1] * 20 for clock in clocks)


@pytest.mark.parametrize("truncates", [False, True])
def test_an_episode_ends_however_the_env_ends_it(truncates: bool) -> None:
    kwargs = {"length": 4, "truncates": truncates}
    result = Evaluator(env_config(Clock, kwargs=kwargs).build, [0, 1]).run(policy_for(Clock()))
    assert result == Evaluation(returns=(10.0, 10.0), lengths=(4, 4))  # 1 + 2 + 3 + 4


def test_mean_and_deviation_by_hand() -> None:
    result = Evaluation(returns=(1.0, 3.0, 8.0), lengths=(1, 1, 1))
    # mean 4; deviations −3, −1, 4: √((9 + 1 + 16)/3) = √8.6667 = 2.9439
    assert result.return_mean == 4.0
    assert result.return_std == pytest.approx(2.9439203)


def test_no_episode_is_no_evaluation() -> None:
    with pytest.raises(ConfigError, match="eval_episodes=0"):
        Evaluator(Lottery, [])
