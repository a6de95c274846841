"""Envs with the spaces that the catalogue's do not have; importing this registers them."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

HALF_OPEN = spaces.Box(np.float32([-np.inf, -1.0]), np.float32([np.inf, 3.0]), dtype=np.float32)
UNEVEN = spaces.Box(
    np.float32([[-1.0, 0.0], [5.0, -0.3]]), np.float32([[0.1, 9.0], [6.0, 0.7]]), dtype=np.float32
)


class Noise(gym.Env[Any, Any]):
    """Observations at random from `observation_space`; an episode is cut after 7 steps."""

    def __init__(self, obs: gym.Space[Any], action: gym.Space[Any]) -> None:
        self.observation_space, self.action_space, self.count = obs, action, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.count += 1
        return self.observation_space.sample(), float(self.count), False, self.count == 7, {}


def unbounded() -> Noise:
    """Two actions, one of them bounded on both sides: the `normal` head."""
    return Noise(spaces.Box(-np.inf, np.inf, (5,), np.float32), HALF_OPEN)


def uneven() -> Noise:
    """Actions of shape (2, 2), each with bounds of its own."""
    return Noise(spaces.Box(-np.inf, np.inf, (3,), np.float32), UNEVEN)


def pixels() -> Noise:
    """Small colour images, and three choices from 5 on."""
    return Noise(spaces.Box(0, 255, (6, 5, 3), np.uint8), spaces.Discrete(3, start=5))


def several() -> Noise:
    """Two choices, 6 joint ones: the `multi_categorical` head."""
    return Noise(spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.MultiDiscrete([2, 3], start=[0, 5]))


def many() -> Noise:
    """Two choices, 400 joint ones: the `sampled_multi_categorical` head."""
    return Noise(spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.MultiDiscrete([20, 20]))


def mixed() -> Noise:
    """A choice with numbers: the `hybrid` head."""
    action = spaces.Dict({"what": spaces.Discrete(3, start=1), "how": spaces.Box(-2.0, 5.0, (2,))})
    return Noise(spaces.Box(-np.inf, np.inf, (3,), np.float32), action)


MAKERS = {"Unbounded": unbounded, "Uneven": uneven, "Pixels": pixels}
MAKERS |= {"Several": several, "Many": many, "Mixed": mixed}
for name, make in ((f"{kind}-v0", make) for kind, make in MAKERS.items()):
    if name not in gym.registry:
        gym.register(name, make)
