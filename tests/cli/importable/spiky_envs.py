"""Envs with a number too large for float32 now and then. Importing this registers Spiky-v0."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Spiky(gym.Env[Any, Any]):
    """Episodes of 10 steps; step `at`, counted over all, has the observation `obs` and the reward `reward`.

    `at=0` means all steps. Once a file `mended` exists, no step has them.
    """

    def __init__(
        self, obs: float = 0.0, reward: float = 0.0, at: int = 0, dtype: str = "float32", mended: str = ""
    ) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.dtype(dtype).type)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.spike, self.at, self.mended, self.steps = (obs, reward), at, mended, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self._obs(0.0), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        spikes = self.at in (0, self.steps) and not (self.mended and Path(self.mended).exists())
        obs, reward = self.spike if spikes else (0.0, 0.0)
        return self._obs(obs), reward - abs(float(action[0])), False, self.steps % 10 == 0, {}

    def _obs(self, last: float) -> Any:
        return np.array([1.0, self.steps % 10, last], self.observation_space.dtype)


if "Spiky-v0" not in gym.registry:
    gym.register("Spiky-v0", Spiky)
