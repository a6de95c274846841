"""Small real envs that fail, or observe, in a chosen way. Importing this registers Counter-v0."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class TwoPartError(Exception):
    """Cannot be pickled: it holds a lambda."""

    def __init__(self, what: str, where: int) -> None:
        super().__init__(what, where, lambda: None)


class Counter(gym.Env[Any, Any]):
    """Observes its step number and ends after `length` steps, terminating or truncating."""

    def __init__(
        self,
        length: int = 3,
        truncates: bool = False,
        fault: str = "",
        at: int = -1,
        observation_space: gym.Space[Any] | None = None,
        sample: Any = None,
    ) -> None:
        self.observation_space = observation_space or spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length, self.truncates, self.fault, self.at, self.sample = length, truncates, fault, at, sample
        self.count = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        reward = float(self.count)
        if self.count == self.at:
            if self.fault == "raise":
                raise KeyError("wheel")
            if self.fault == "unpicklable":
                raise TwoPartError("wheel", 3)
            if self.fault == "exit":
                import os

                os._exit(3)
            if self.fault == "reward":
                reward = float("inf")
        ends = self.count >= self.length
        return self._obs(), reward, ends and not self.truncates, ends and self.truncates, {}

    def _obs(self) -> Any:
        if self.sample is not None:
            return self.sample
        nan = self.fault == "obs" and self.count == self.at
        return np.array([np.nan if nan else self.count], dtype=np.float32)


if "Counter-v0" not in gym.registry:
    gym.register("Counter-v0", lambda **kwargs: Counter(**kwargs))
