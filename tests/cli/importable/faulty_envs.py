"""Envs that a command imports by name: one leaves a mark when it is made, others fail in mid-run.

Importing this registers Marker-v0, Faulty-v0, Picky-v0, Deadly-v0, Steady-v0 and Preempted-v0.
"""

import os
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Walk(gym.Env[Any, Any]):
    """Episodes of 20 steps along a line; `fault` happens at step `at`, counted over all episodes."""

    def __init__(self, fault: str = "", at: int = -1) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.fault, self.at, self.steps, self.place = fault, at, 0, 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0.0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.place += float(action[0])
        if self.steps == self.at and self.fault == "raise":
            raise KeyError("wheel")
        reward = float("nan") if self.steps == self.at and self.fault == "reward" else -abs(self.place)
        return self._obs(), reward, False, self.steps % 20 == 0, {}

    def _obs(self) -> Any:
        return np.array([self.place], dtype=np.float32)


class Marker(Walk):
    """Writes the file that MARKER names when it is made."""

    def __init__(self) -> None:
        Path(os.environ["MARKER"]).touch()
        super().__init__()


class Picky(Walk):
    """Fails at step 45 for one seed under one temperature rule: one job of a sweep."""

    def __init__(self, seed: int, alpha: str) -> None:
        chosen = (seed, alpha) == (1, "sac_lightning.entropy.Fixed")
        super().__init__("raise" if chosen else "", 45)


class Deadly(Walk):
    """Kills its own process at step 25 for one seed, as a system without memory does."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chosen = seed == 1

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.chosen and self.steps == 24:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


class Steady(Walk):
    """The same reward whatever is done: no run can be better than its `reward` says."""

    def __init__(self, reward: float) -> None:
        super().__init__()
        self.reward = reward

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, self.reward, terminated, truncated, info


class Preempted(Walk):
    """Sends `signals` to its own process at step 25, as SLURM does, unless the file `sent` is there."""

    def __init__(self, signals: list[int], sent: str) -> None:
        super().__init__()
        self.signals, self.sent = signals, Path(sent)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.steps == 24 and not self.sent.exists():
            self.sent.touch()
            for number in self.signals:
                os.kill(os.getpid(), number)
        return super().step(action)


ENVS = {
    "Preempted-v0": Preempted,
    "Marker-v0": Marker,
    "Faulty-v0": Walk,
    "Picky-v0": Picky,
    "Deadly-v0": Deadly,
    "Steady-v0": Steady,
}
for name, made in ENVS.items():
    if name not in gym.registry:
        gym.register(name, made)
