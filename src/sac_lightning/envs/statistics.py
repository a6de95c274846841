"""Wrappers that normalise by running statistics, which are refused."""

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, vector

from sac_lightning.core.errors import ConfigError

NORMALIZING = (
    NormalizeObservation,
    NormalizeReward,
    vector.NormalizeObservation,
    vector.NormalizeReward,
)
# What an object has that keeps a running mean and spread, whoever wrote it.
SPREAD = {"var", "variance", "std", "m2", "s"}
COUNT = {"count", "n", "num_samples"}
REFUSED = (
    "keeps running statistics, and evaluation would have statistics of its own, other than training's; "
    "normalisation wrappers are not supported: leave it out, or scale by fixed numbers (RescaleObservation)"
)


def refuse_normalization(found: Any, key: str, name: str) -> None:
    """Raise ConfigError on `key` where `found` is a normalising class, also one for vector envs."""
    known = isinstance(found, type) and (issubclass(found, NORMALIZING) or "VecNormalize" in _names(found))
    if known:
        raise ConfigError(key, name, REFUSED)


def refuse_statistics(env: gym.Env[Any, Any], key: str, name: str) -> None:
    """Raise ConfigError on `key` where a wrapper in `env` keeps running statistics."""
    layer = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, NORMALIZING) or any(map(_running, _held(layer))):
            wrapper = type(layer).__name__
            told = REFUSED if wrapper == name.rpartition(".")[2] else f"its wrapper {wrapper} {REFUSED}"
            raise ConfigError(key, name, told)
        layer = layer.env


def _names(cls: type) -> list[str]:
    return [each.__name__ for each in cls.__mro__]


def _held(layer: gym.Wrapper[Any, Any, Any, Any]) -> Iterable[Any]:
    """The wrapper itself and what it holds, dicts opened: statistics are often kept by key."""
    yield layer
    for name, value in vars(layer).items():
        if name != "env":
            yield from value.values() if isinstance(value, dict) else (value,)


def _running(thing: Any) -> bool:
    names = {name.strip("_").lower() for name in getattr(thing, "__dict__", {})}
    return "mean" in names and bool(names & SPREAD) and bool(names & COUNT)
