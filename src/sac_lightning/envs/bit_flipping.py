"""Bit flipping: the smallest env with goals, hopeless without hindsight     (1707.01495, section 3.1)."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sac_lightning.core.fields import Whole
from sac_lightning.spaces import Array

Obs = dict[str, Array]


class BitFlipping(gym.Env[Any, Any]):
    """Flips one of n bits per step until they are the goal; each step costs 1 until then.

    Observations are those of a GoalEnv of gymnasium-robotics: a Dict of observation, achieved_goal and
    desired_goal, each the n bits. An episode terminates at the goal, one of 2ⁿ states.

    Args:
        bits: n, at least 1. Set `max_episode_steps` too, which is 12 as registered.
    """

    def __init__(self, bits: int = 12) -> None:
        self._bits = int(Whole("[1, 1000]").check("env.kwargs.bits", bits))
        bit = spaces.MultiBinary(self._bits)
        self.observation_space = spaces.Dict({"observation": bit, "achieved_goal": bit, "desired_goal": bit})
        self.action_space = spaces.Discrete(max(2, self._bits))
        self._state, self._goal = np.zeros((2, self._bits), np.int8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Draws bits and goal."""
        super().reset(seed=seed)
        self._state, self._goal = self.np_random.integers(0, 2, (2, self._bits), np.int8)
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Flips bit number `action`."""
        self._state[int(action) % self._bits] ^= 1
        reward = float(self.compute_reward(self._state, self._goal, {}))
        return self._obs(), reward, reward == 0.0, False, {}

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Array:
        """Returns 0 where all bits are those of the goal, else −1: goals [..., n] give rewards [...]."""
        reward: Array = (achieved_goal == desired_goal).all(axis=-1).astype(np.float32) - 1.0
        return reward

    def compute_terminated(self, achieved_goal: Array, desired_goal: Array, info: Any) -> bool:
        """Returns whether the goal, [n], is achieved."""
        return bool((achieved_goal == desired_goal).all())

    def capture_state(self) -> dict[str, Any]:
        """Returns all that a resumed run needs."""
        return {"state": self._state.copy(), "goal": self._goal.copy()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Continues from what `capture_state` returned."""
        self._state, self._goal = state["state"].copy(), state["goal"].copy()

    def _obs(self) -> Obs:
        own = self._state.copy()
        return {"observation": own, "achieved_goal": own.copy(), "desired_goal": self._goal.copy()}


gym.register("BitFlipping-v0", entry_point=f"{__name__}:BitFlipping", max_episode_steps=12)
