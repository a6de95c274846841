"""Evaluation: whole episodes, by the mode, from seeds of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation, TimeLimit

from sac_lightning import ConfigError, Policy, ReplayDataModule, SACModule
from sac_lightning.collect.evaluation import (
    EVAL_SEED,
    Evaluation,
    EvaluationStopped,
    Evaluator,
    has_time_limit,
)
from sac_lightning.envs import action_spec, obs_spec
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
    evaluator = Evaluator(env_config(Lottery).build, range(100, 107), num_envs=3)
    first = evaluator.run(policy)
    torch.manual_seed(5)
    np.random.seed(5)
    assert evaluator.run(policy) == first  # the envs are kept and begin anew
    assert Evaluator(env_config(Lottery).build, range(100, 107), num_envs=3).run(policy) == first
    assert Evaluator(env_config(Lottery).build, range(200, 207), num_envs=3).run(policy) != first


def test_evaluation_draws_no_random_number() -> None:
    before = torch.get_rng_state()
    policy = policy_for(Lottery())
    Evaluator(env_config(Lottery).build, range(3)).run(policy)
    assert torch.equal(before, torch.get_rng_state())


def test_the_return_of_an_episode_is_that_of_playing_it_by_hand() -> None:
    policy = policy_for(Lottery())
    result = Evaluator(env_config(Lottery).build, [3, 8, 13], num_envs=2).run(policy)
    for seed, ret, length in zip((3, 8, 13), result.returns, result.lengths, strict=True):
        env = Lottery()
        obs, _ = env.reset(seed=seed)
        total, steps, over = 0.0, 0, False
        while not over:
            obs, reward, over, _, _ = env.step(policy.act(obs, deterministic=True))
            total, steps = total + reward, steps + 1
        assert (ret, length) == (pytest.approx(total, abs=1e-5), steps)


@pytest.mark.parametrize("num_envs", [1, 2, 10])
def test_every_seed_is_one_episode_in_its_own_order(num_envs: int) -> None:
    policy = policy_for(Lottery())
    result = Evaluator(env_config(Lottery).build, range(5), num_envs).run(policy)
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
        policy.actor.output.weight.zero_()
        policy.actor.output.bias.copy_(torch.tensor([0.2, 0.5, 0.3]).log())
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


def endless() -> Clock:
    """Nothing ends its episodes."""
    return Clock(length=10**9)


@pytest.mark.parametrize(("seeds", "lengths"), [(1, (5,)), (3, (5, 5, 5))])
def test_max_steps_ends_an_episode_that_its_env_does_not(seeds: int, lengths: tuple[int, ...]) -> None:
    result = Evaluator(endless, range(seeds), 2, max_steps=5).run(policy_for(Clock()))
    assert result.lengths == lengths
    assert result.returns == (15.0,) * seeds  # 1 + 2 + 3 + 4 + 5


def test_max_steps_lengthens_no_episode() -> None:
    result = Evaluator(lambda: Clock(length=3), range(2), max_steps=4).run(policy_for(Clock()))
    assert result == Evaluation(returns=(6.0, 6.0), lengths=(3, 3))


@pytest.mark.parametrize("steps", [0, 4, 1000])
def test_an_evaluation_stops_at_the_step_at_which_it_is_asked_to(steps: int) -> None:
    clocks = [endless() for _ in range(2)]
    asked = iter([False] * steps + [True])
    random_state = torch.get_rng_state()
    evaluator = Evaluator(iter(clocks).__next__, range(2))
    with pytest.raises(EvaluationStopped):
        evaluator.run(policy_for(Clock()), lambda: next(asked))
    assert [clock.count for clock in clocks] == [steps, steps]
    assert torch.equal(random_state, torch.get_rng_state())


@pytest.mark.parametrize("value", [0, -3, True])
def test_max_steps_that_mean_nothing_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=f"eval_max_steps={value}: must be a whole number of at least 1"):
        Evaluator(Clock, range(2), max_steps=value)


def test_a_stopped_evaluation_takes_no_global_random_number_with_it() -> None:
    class Dice(Clock):
        def step(self, action: Any) -> Step:
            np.random.uniform()
            torch.rand(1)
            return super().step(action)

    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    asked = iter([False] * 700 + [True])
    with pytest.raises(EvaluationStopped):
        Evaluator(lambda: Dice(length=10**9), [0]).run(policy_for(Clock()), lambda: next(asked))
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


@pytest.mark.parametrize(
    ("make", "limited"),
    [
        (lambda: gym.make("Pendulum-v1"), True),
        (lambda: gym.make("Pendulum-v1").unwrapped, False),
        (lambda: gym.make("CliffWalking-v1"), False),
        (lambda: gym.make("CliffWalking-v1", max_episode_steps=7), True),
        (lambda: FlattenObservation(TimeLimit(Clock(), 7)), True),
        (lambda: FlattenObservation(Clock()), False),
    ],
)
def test_a_time_limit_is_found_wherever_it_comes_from(
    make: Callable[[], gym.Env[Any, Any]], limited: bool
) -> None:
    assert has_time_limit(make()) is limited


def test_every_run_of_an_env_is_evaluated_on_the_same_starts() -> None:
    seeds = []
    for seed in (0, 1, 12345):
        data = ReplayDataModule("Pendulum-v1", eval_episodes=3, seed=seed)
        data.setup("validate")
        assert data.evaluator is not None
        seeds.append(data.evaluator.seeds)
    assert seeds == [(1_000_000, 1_000_001, 1_000_002)] * 3
    other = ReplayDataModule("Pendulum-v1", eval_episodes=2, eval_seed=7)
    other.setup("validate")
    assert other.evaluator is not None
    assert other.evaluator.seeds == (7, 8)


def test_both_commands_evaluate_from_the_same_seed() -> None:
    conf = Path(__file__).parents[2] / "conf"
    train, evaluation = (yaml.safe_load((conf / f"{name}.yaml").read_text()) for name in ("train", "eval"))
    assert train["eval_seed"] == evaluation["seed"] == EVAL_SEED


def test_the_usual_starts_are_as_hard_as_a_thousand() -> None:
    # Of Pendulum-v1: how far the pole hangs from upright, as 1 − cos θ, and how fast it swings.
    def starts(seeds: range) -> Any:
        env = gym.make("Pendulum-v1")
        obs = np.array([env.reset(seed=seed)[0] for seed in seeds])
        return 1.0 - obs[:, 0], np.abs(obs[:, 2])

    usual, many = starts(range(EVAL_SEED, EVAL_SEED + 10)), starts(range(1000))
    for few, all_ in zip(usual, many, strict=True):
        assert abs(few.mean() - all_.mean()) < all_.std() / 10**0.5  # one standard error of ten
