"""An env whose observations say which process made them, and when: no two are alike."""

import itertools
import os
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

INSTANCES = itertools.count()


class Numbered(gym.Env[Any, Any]):
    """Observes [process id, number of the env in it, calls so far]; episodes have `length` steps."""

    def __init__(self, length: int = 7, elsewhere: str = "") -> None:
        if elsewhere and os.getpid() != int(elsewhere):
            raise ModuleNotFoundError("No module named 'robot'")
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.length, self.number, self.calls, self.steps = length, next(INSTANCES), 0, 0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**options)
        self.steps = 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._obs(), 0.0, False, self.steps == self.length, {}

    def _obs(self) -> Any:
        self.calls += 1
        return np.array([os.getpid(), self.number, self.calls], np.float64)
