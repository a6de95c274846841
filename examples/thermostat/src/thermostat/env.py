"""A room to heat, and a wrapper that likes a steady hand."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Obs = NDArray[np.float32]


class Thermostat(gym.Env[Obs, Obs]):
    """Reward −(room − 20 °C)² / 25 a step; the room leaks a share of its difference to the weather."""

    def __init__(self, leak: float = 0.1) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.leak, self.room, self.weather = leak, 20.0, 10.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """A room and a weather drawn at random."""
        super().reset(seed=seed)
        self.room, self.weather = map(float, self.np_random.uniform((10.0, 0.0), (30.0, 20.0)))
        return self._obs(), {}

    def step(self, action: Obs) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Heat or cool by up to 3 °C."""
        self.weather += float(self.np_random.normal(0.0, 0.2))
        self.room += 3.0 * float(action[0]) + self.leak * (self.weather - self.room)
        return self._obs(), -((self.room - 20.0) ** 2) / 25.0, False, False, {}

    def capture_state(self) -> dict[str, Any]:
        """What a resumed run needs besides the random generators, which are kept for every env."""
        return {"room": self.room, "weather": self.weather}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Put it back."""
        self.room, self.weather = state["room"], state["weather"]

    def _obs(self) -> Obs:
        return np.array([self.room - 20.0, self.weather - 20.0], dtype=np.float32) / 10.0


class SteadyHand(gym.Wrapper[Obs, Obs, Obs, Obs]):
    """Takes `weight` · |a_t − a_{t−1}| from each reward."""

    def __init__(self, env: gym.Env[Obs, Obs], weight: float = 0.1) -> None:
        super().__init__(env)
        self.weight, self.before = weight, 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """The hand starts in the middle."""
        self.before = 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Obs) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """The env's step, its reward less the penalty."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        moved = abs(float(action[0]) - self.before)
        self.before = float(action[0])
        return obs, float(reward) - self.weight * moved, terminated, truncated, info

    def capture_state(self) -> dict[str, Any]:
        """For a bit-exact resume."""
        return {"before": self.before}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Put it back."""
        self.before = state["before"]
