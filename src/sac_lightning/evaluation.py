"""Evaluation: whole episodes with the policy's mode, on envs and seeds of their own."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from sac_lightning.envs.guard import EnvError
from sac_lightning.envs.raw_reward import raw_reward
from sac_lightning.errors import require, whole
from sac_lightning.finite import check_action
from sac_lightning.policy import Policy

# What to do where a further env cannot be made.
FEWER = "eval_envs (of eval.py: envs) says how many exist at once, eval_episodes=0 turns evaluation off"


@dataclass(frozen=True)
class Evaluation:
    """Undiscounted returns (of the env's own rewards) and lengths of whole episodes, one for each seed."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def return_mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def return_std(self) -> float:
        """Standard deviation of the returns over episodes (not of their mean)."""
        return float(np.std(self.returns))


class Evaluator:
    """Runs one episode for each seed, up to `side_by_side` at a time with one batched pass of the actor.

    The envs are made at the first use and kept. Every episode starts from `reset(seed=...)`, so the
    result depends on the policy, the seeds and `side_by_side` (by rounding) alone.
    """

    def __init__(
        self, build: Callable[[], gym.Env[Any, Any]], seeds: Sequence[int], side_by_side: int = 10
    ) -> None:
        require(len(seeds) >= 1, "eval_episodes", len(seeds), "must be a whole number of at least 1")
        require(whole(side_by_side) >= 1, "eval_envs", side_by_side, "must be a whole number of at least 1")
        self.seeds = tuple(seeds)
        self._build = build
        self._side_by_side = side_by_side
        self._envs: list[gym.Env[Any, Any]] = []

    def run(self, policy: Policy) -> Evaluation:
        """All episodes to their end."""
        returns: list[float] = []
        lengths: list[int] = []
        for start in range(0, len(self.seeds), self._side_by_side):
            chunk = self.seeds[start : start + self._side_by_side]
            self._make(len(chunk))
            ret, length = _episodes(policy, self._envs[: len(chunk)], chunk)
            for seed, each in zip(chunk, ret, strict=True):
                if not math.isfinite(each):  # the rewards that the policy sees may be a wrapper's
                    raise EnvError(f"the return of the evaluation episode with seed {seed} is {each}")
            returns += ret
            lengths += length
        return Evaluation(tuple(returns), tuple(lengths))

    def prepare(self) -> None:
        """Make the first env. Raises EnvError when that fails, as `run` does."""
        self._make(1)

    def _make(self, count: int) -> None:
        """Have `count` envs."""
        while len(self._envs) < count:
            try:
                self._envs.append(self._build())
            except EnvError as error:
                which = f"evaluation env {len(self._envs) + 1} of {min(self._side_by_side, len(self.seeds))}"
                raise EnvError(f"{which}: {error}; {FEWER}") from error

    def close(self) -> None:
        """Close the envs."""
        for env in self._envs:
            env.close()
        self._envs.clear()


def _episodes(
    policy: Policy, envs: Sequence[gym.Env[Any, Any]], seeds: Sequence[int]
) -> tuple[list[float], list[int]]:
    obs = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
    returns, lengths = [0.0] * len(envs), [0] * len(envs)
    running = list(range(len(envs)))
    while running:
        seen = np.stack([obs[i] for i in running])
        actions = policy.action.to_env(policy.mode(seen))
        check_action(actions, seen)
        still = []
        for i, action in zip(running, actions, strict=True):
            obs[i], reward, terminated, truncated, info = envs[i].step(action)
            returns[i] += raw_reward(reward, info)
            lengths[i] += 1
            if not (terminated or truncated):
                still.append(i)
        running = still
    return returns, lengths
