"""Evaluates a deterministic policy over whole episodes, on envs and seeds of their own."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import TimeLimit

from sac_lightning.algorithm.policy import Policy
from sac_lightning.core.fields import Whole
from sac_lightning.core.finite import check_action
from sac_lightning.core.ranks import Ranks
from sac_lightning.core.seeding import global_rng_state, restore_global_rng
from sac_lightning.envs.guard import EnvError
from sac_lightning.envs.wrappers import raw_reward
from sac_lightning.spaces import Array

# What to do where another env cannot be made.
FEWER = "eval_envs (of eval.py: envs) says how many exist at once, eval_episodes=0 disables evaluation"
# The first evaluation seed of every run, whatever the run's own seed: runs of an env are compared on the
# same starts. On Pendulum-v1 the first ten are as hard as a thousand are on average.
EVAL_SEED = 1_000_000
# Of an env's id, and of the key and a value that limit an evaluation.
NO_TIME_LIMIT = (
    "%s has no time limit: a policy that never ends an episode would be evaluated for ever. "
    "Set env.max_episode_steps (training too) or, for evaluations alone, %s"
)


class EvaluationStopped(Exception):
    """Says that `Evaluator.run` ended early because `stop` returned True."""


@dataclass(frozen=True)
class Evaluation:
    """Stores undiscounted returns (of the env's own rewards) and lengths of episodes, one for each seed."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def return_mean(self) -> float:
        """Returns the mean return."""
        return float(np.mean(self.returns))

    @property
    def return_std(self) -> float:
        """Returns the standard deviation of the returns over episodes (not of their mean)."""
        return float(np.std(self.returns))


class Evaluator:
    """Runs one episode for each seed, up to `num_envs` at a time with one batched pass of the actor.

    The envs are made at the first use and kept. Every episode starts from `reset(seed=...)`, so the
    result depends on the policy, the seeds and `num_envs` (by rounding) alone.

    Args:
        build: makes one env.
        seeds: one for each episode, at least one.
        num_envs: envs at once, at least 1, of all ranks together.
        max_steps: env steps ≥ 1 after which an episode ends; None where its env alone ends it.
        ranks: the processes that share the episodes; None for this one alone.
    """

    def __init__(
        self,
        build: Callable[[], gym.Env[Any, Any]],
        seeds: Sequence[int],
        num_envs: int = 10,
        max_steps: int | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        at_least_one = Whole("[1, inf)")
        at_least_one.check("eval_episodes", len(seeds))
        rank, size = (0, 1) if ranks is None else (ranks.rank, ranks.size)
        self._num_envs = math.ceil(at_least_one.check("eval_envs", num_envs) / size)
        self.seeds, self._own_seeds = tuple(seeds), tuple(seeds)[rank::size]
        self.max_steps = check_max_steps("eval_max_steps", max_steps)
        self._build, self._ranks = build, ranks
        self._envs: list[gym.Env[Any, Any]] = []

    def run(self, policy: Policy, stop: Callable[[], bool] = lambda: False) -> Evaluation:
        """Runs all episodes to their end.

        Calls `stop` before every step. Raises EvaluationStopped once it returns True, on any rank; the
        process's global random states, from which an env may draw, are then as they were.
        """
        before = global_rng_state()
        returns: list[float] = []
        lengths: list[int] = []
        stopped = False
        try:
            for start in range(0, len(self._own_seeds), self._num_envs):
                seeds = self._own_seeds[start : start + self._num_envs]
                self._make(len(seeds))
                ret, length = _episodes(policy, self._envs[: len(seeds)], seeds, self.max_steps, stop)
                returns += ret
                lengths += length
        except EvaluationStopped:
            stopped = True
        if self._ranks is not None:
            shares = self._ranks.gather([returns, lengths, stopped])
            stopped = any(each[2] for each in shares)
            returns, lengths = [0.0] * len(self.seeds), [0] * len(self.seeds)
            for rank, share in enumerate(() if stopped else shares):
                returns[rank :: len(shares)], lengths[rank :: len(shares)] = share[:2]
        if stopped:
            restore_global_rng(before)
            raise EvaluationStopped
        return Evaluation(tuple(returns), tuple(lengths))

    def prepare(self) -> None:
        """Makes the first env. Raises EnvError when that fails, as `run` does."""
        self._make(min(1, len(self._own_seeds)))

    def _make(self, count: int) -> None:
        while len(self._envs) < count:
            try:
                self._envs.append(self._build())
            except EnvError as error:
                which = f"evaluation env {len(self._envs) + 1} of {min(self._num_envs, len(self._own_seeds))}"
                raise EnvError(f"{which}: {error}; {FEWER}") from error

    def close(self) -> None:
        """Closes the envs."""
        for env in self._envs:
            env.close()
        self._envs.clear()


def check_max_steps(key: str, value: Any) -> int | None:
    """Returns `value`, of `key`. Raises ConfigError unless it is None or a whole number of at least 1."""
    found: int | None = None
    if value is not None:
        found = Whole("[1, inf)").check(key, value, ", or null: no limit")
    return found


def has_time_limit(env: gym.Env[Any, Any]) -> bool:
    """Returns whether a TimeLimit ends the episodes of `env`; `gym.make` adds one for a registered limit."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, TimeLimit):
            return True
        env = env.env
    return False


def episode_observations(
    env: gym.Env[Any, Any], policy: Policy, seed: int, max_steps: int | None = None
) -> Array:
    """Returns the observations [T, *obs] of an episode with deterministic actions."""
    obs, done = env.reset(seed=seed)[0], False
    seen: list[Array] = []
    while not done and len(seen) != max_steps:
        seen.append(obs)
        obs, _, terminated, truncated, _ = env.step(policy.act(obs, deterministic=True))
        done = terminated or truncated
    return np.stack(seen)


def _episodes(
    policy: Policy,
    envs: Sequence[gym.Env[Any, Any]],
    seeds: Sequence[int],
    max_steps: int | None,
    stop: Callable[[], bool],
) -> tuple[list[float], list[int]]:
    obs = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
    returns, lengths = [0.0] * len(envs), [0] * len(envs)
    running = list(range(len(envs)))
    while running:
        if stop():
            raise EvaluationStopped
        batch = np.stack([obs[i] for i in running])
        actions = policy.action.to_env(policy.mode(batch))
        check_action(actions, batch)
        still_running = []
        for i, action in zip(running, actions, strict=True):
            obs[i], reward, terminated, truncated, info = envs[i].step(action)
            returns[i] += raw_reward(reward, info)
            lengths[i] += 1
            if not (terminated or truncated or lengths[i] == max_steps):
                still_running.append(i)
        running = still_running
    for seed, ret in zip(seeds, returns, strict=True):
        if not math.isfinite(ret):  # the rewards that the policy sees may be a wrapper's
            raise EnvError(f"the return of the evaluation episode with seed {seed} is {ret}")
    return returns, lengths
