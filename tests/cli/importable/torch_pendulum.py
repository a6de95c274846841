"""Gymnasium's Pendulum, many at a time, in torch; importing this registers the vector env."""

import math
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

MAX_SPEED = 8.0


class TorchPendulum:
    """Swings `num_envs` poles; an episode ends after `max_episode_steps`, or above the speed `fall`."""

    metadata: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        num_envs: int,
        max_episode_steps: int = 200,
        fall: float = math.inf,
        final_key: str = "final_obs",
        critic: bool = False,
    ) -> None:
        self.num_envs, self.max_episode_steps, self.fall = num_envs, max_episode_steps, fall
        self.final_key, self.critic = final_key, critic
        box = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        speed = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.single_observation_space = spaces.Dict({"critic": speed, "policy": box}) if critic else box
        self.single_action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)
        self.generator = torch.Generator()
        self.angle, self.speed = torch.zeros(2, num_envs)
        self.count = torch.zeros(num_envs, dtype=torch.int64)
        self.seen = torch.zeros(num_envs, 3)

    @property
    def unwrapped(self) -> "TorchPendulum":
        return self

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.generator.manual_seed(seed)
        self._restart(torch.ones(self.num_envs, dtype=torch.bool))
        return self._obs(), {}

    def step(self, action: Tensor) -> tuple[Any, Tensor, Tensor, Tensor, dict[str, Any]]:
        u = action.clamp_(-2.0, 2.0)[:, 0]  # in place, as some simulators do
        angle = (self.angle + math.pi) % (2.0 * math.pi) - math.pi
        reward = -(angle**2 + 0.1 * self.speed**2 + 0.001 * u**2)
        self.speed = (self.speed + (15.0 * self.angle.sin() + 3.0 * u) * 0.05).clamp(-MAX_SPEED, MAX_SPEED)
        self.angle = self.angle + self.speed * 0.05
        self.count += 1
        terminated = self.speed.abs() > self.fall
        truncated = self.count >= self.max_episode_steps
        obs, info = self._obs(), {}
        if (over := terminated | truncated).any():
            last = {key: each.clone() for key, each in obs.items()} if self.critic else obs.clone()
            info = {self.final_key: last}
            self._restart(over)
            obs = self._obs()
        return obs, reward, terminated, truncated, info

    def _restart(self, which: Tensor) -> None:
        angle, speed = torch.rand(2, self.num_envs, generator=self.generator) * 2.0 - 1.0
        self.angle = torch.where(which, angle * math.pi, self.angle)
        self.speed = torch.where(which, speed, self.speed)
        self.count.masked_fill_(which, 0)

    def _obs(self) -> Any:
        # One tensor, written again and again.
        torch.stack((self.angle.cos(), self.angle.sin(), self.speed), dim=1, out=self.seen)
        return {"critic": self.seen[:, 2:], "policy": self.seen} if self.critic else self.seen

    def close(self) -> None:
        pass


class Resumable(TorchPendulum):
    """One whose episodes continue when a run is resumed."""

    def capture_state(self) -> dict[str, Any]:
        tensors = {name: getattr(self, name) for name in ("angle", "speed", "count")}
        return {**tensors, "generator": self.generator.get_state()}

    def restore_state(self, state: dict[str, Any]) -> None:
        self.angle, self.speed, self.count = state["angle"], state["speed"], state["count"]
        self.generator.set_state(state["generator"])


gym.register("TorchPendulum-v0", vector_entry_point=Resumable, max_episode_steps=30)
