"""The env's own rewards, for the returns that are shown, beside those that a wrapper makes of them."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from sac_lightning.envs.guard import Array

Env = gym.Env[Any, Any]
KEY = "sac_lightning/raw_reward"  # in infos


class RewardMeter(gym.Wrapper[Any, Any, Any, Any]):
    """Adds up the env's rewards: a wrapper above may step it several times for one step of its own."""

    total: float = 0.0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the env."""
        answer = self.env.step(action)
        self.total += float(answer[1])
        return answer


class ShowRawReward(gym.Wrapper[Any, Any, Any, Any]):
    """Puts into the info of each step what `meter`, further in, has added up in it."""

    def __init__(self, env: Env, meter: RewardMeter) -> None:
        super().__init__(env)
        self._meter = meter

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the env."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        raw, self._meter.total = self._meter.total, 0.0
        return obs, reward, terminated, truncated, {**info, KEY: raw}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """A new episode; steps that a wrapper takes to begin it are not counted."""
        answer = self.env.reset(seed=seed, options=options)
        self._meter.total = 0.0
        return answer


def metered(env: Env) -> tuple[Env, RewardMeter]:
    """`env` with a meter around it, or where a RewardWrapper is a part of it, below that one."""
    layer, lowest = env, None
    while isinstance(layer, gym.Wrapper):
        lowest = layer if isinstance(layer, gym.RewardWrapper) else lowest
        layer = layer.env
    if lowest is None:
        meter = RewardMeter(env)
        return meter, meter
    lowest.env = meter = RewardMeter(lowest.env)
    return env, meter


def raw_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """What of a single env's `info` is read: its raw reward, where wrappers may have made another of it."""
    return {KEY: info[KEY]} if KEY in info else {}


def raw_reward(reward: Any, info: Mapping[str, Any]) -> float:
    """The env's own reward of a step that returned `reward` and `info`."""
    return float(info.get(KEY, reward))


def raw_rewards(reward: Array, info: Mapping[str, Any]) -> Array:
    """[E]: the envs' own rewards of a step of a vector env that returned `reward` [E] and `info`."""
    raw = reward
    for each in (info, info.get("final_info", {})):  # SAME_STEP keeps an episode's last info apart
        if KEY in each:
            raw = np.where(each[f"_{KEY}"], each[KEY], raw)
    return raw
