"""Envs whose actions have several parts, and one whose observations are images; their state can be saved."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

SEVERAL = spaces.MultiDiscrete([2, 3])
MANY = spaces.MultiDiscrete([20, 20])
MIXED = spaces.Tuple((spaces.Discrete(3), spaces.Box(-2.0, 2.0, (2,))))


class Drift(gym.Env[Any, Any]):
    """Moves by chance and by a number that the action makes; an episode is 9 steps."""

    def __init__(self, action: gym.Space[Any]) -> None:
        self.observation_space, self.action_space = spaces.Box(-np.inf, np.inf, (2,)), action
        self.place, self.count = np.zeros(2), 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place, self.count = self.np_random.standard_normal(2), 0
        return self.place.astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.place = 0.9 * self.place + 0.1 * self.np_random.standard_normal(2)
        self.place[0] += 0.1 * float(sum(np.ravel(part).sum() for part in action))
        self.count += 1
        return self.place.astype(np.float32), -abs(float(self.place[0])), False, self.count == 9, {}

    def capture_state(self) -> dict[str, Any]:
        return {"place": self.place, "count": self.count}

    def restore_state(self, state: dict[str, Any]) -> None:
        self.place, self.count = np.array(state["place"]), state["count"]


def several() -> Drift:
    return Drift(SEVERAL)


def many() -> Drift:
    return Drift(MANY)


def mixed() -> Drift:
    return Drift(MIXED)


class Blink(gym.Env[Any, Any]):
    """Shows the last four frames of random numbers; episodes of random length end or are cut."""

    observation_space = spaces.Box(0, 255, (4, 12, 12), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.seen = np.repeat(self._frame(), 4, axis=0)
        return self.seen, {}

    def step(self, action: Any) -> Any:
        self.seen = np.concatenate((self.seen[1:], self._frame()))
        ends, cut = self.np_random.random(2) < 0.1
        return self.seen, float(action), bool(ends), bool(cut), {}

    def capture_state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore_state(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]

    def _frame(self) -> Any:
        return self.np_random.integers(0, 255, (1, 12, 12), np.uint8)
