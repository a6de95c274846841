"""Tiny real envs whose answers are known, and the trainer that tests share."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytorch_lightning as pl
from gymnasium import spaces

from sac_lightning import EnvConfig, ReplayDataModule, SACModule

Step = tuple[Any, float, bool, bool, dict[str, Any]]


class Clock(gym.Env[Any, Any]):
    """Observes (episode, step) and rewards with the step's number; terminates or truncates after `length`."""

    def __init__(self, length: int = 3, truncates: bool = False, discrete: bool = True) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-2.0, 2.0, (1,), np.float32)
        self.length, self.truncates = length, truncates
        self.episode, self.count = -1, 0
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return self._obs(), {}

    def step(self, action: Any) -> Step:
        self.actions.append(action)
        self.count += 1
        ends = self.count >= self.length
        return self._obs(), float(self.count), ends and not self.truncates, ends and self.truncates, {}

    def _obs(self) -> Any:
        return np.array([self.episode, self.count], dtype=np.float32)


class OneState(gym.Env[Any, Any]):
    """A single state: `reward(action)`, and an end after `length` steps."""

    def __init__(
        self,
        action_space: gym.Space[Any],
        reward: Callable[[Any], float],
        length: int = 1,
        truncates: bool = False,
    ) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = action_space
        self.reward, self.length, self.truncates = reward, length, truncates
        self.count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> Step:
        self.count += 1
        ends = self.count >= self.length
        reward = float(self.reward(action))
        return np.ones(1, np.float32), reward, ends and not self.truncates, ends and self.truncates, {}


class Chain(gym.Env[Any, Any]):
    """A finite MDP with a one-hot obs that starts anywhere; `next_state` −1 ends the episode."""

    def __init__(self, next_state: list[list[int]], rewards: list[list[float]], limit: int = 20) -> None:
        self.next_state, self.rewards, self.limit = next_state, rewards, limit
        self.observation_space = spaces.Box(0.0, 1.0, (len(rewards),), np.float32)
        self.action_space = spaces.Discrete(len(rewards[0]))
        self.state, self.count = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.state, self.count = int(self.np_random.integers(len(self.rewards))), 0
        return self._obs(), {}

    def step(self, action: Any) -> Step:
        reward, after = self.rewards[self.state][action], self.next_state[self.state][action]
        self.count += 1
        terminated = after < 0
        self.state = max(after, 0)
        return self._obs(), reward, terminated, not terminated and self.count >= self.limit, {}

    def _obs(self) -> Any:
        return np.eye(len(self.rewards), dtype=np.float32)[self.state]


def env_config(make: Callable[..., gym.Env[Any, Any]], **options: Any) -> EnvConfig:
    """A config of one's own env."""
    return EnvConfig(id="Test-v0", make=make, **options)


def trainer_for(data: ReplayDataModule, **options: Any) -> pl.Trainer:
    """A quiet trainer that runs all of `data`'s epochs, without evaluations unless asked."""
    quiet: dict[str, Any] = {
        "max_epochs": data.max_epochs,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
    }
    return pl.Trainer(**{**quiet, **options})


def fit(data: ReplayDataModule, options: dict[str, Any] | None = None, **module: Any) -> SACModule:
    """Train a new module on `data` to its end."""
    learner = SACModule(*data.specs, **module)
    trainer_for(data, **(options or {})).fit(learner, data)
    return learner
