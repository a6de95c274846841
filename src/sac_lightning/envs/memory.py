"""Observations that stay what they were when the env goes on."""

from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np


class CopyObservation(gym.Wrapper[Any, Any, Any, Any]):
    """Hands out copies: many envs write every observation into one array of theirs.

    It lies around the env and around each wrapper, since a wrapper may keep what it was given
    (FrameStackObservation does) and may have an array of its own as well.
    """

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step, with an observation that nobody else writes to."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return _copy(obs), reward, terminated, truncated, info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """A new episode, with an observation that nobody else writes to."""
        obs, info = self.env.reset(seed=seed, options=options)
        return _copy(obs), info


def _copy(obs: Any) -> Any:
    return np.array(obs) if isinstance(obs, np.ndarray) else deepcopy(obs)
