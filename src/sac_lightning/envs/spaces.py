"""From Gymnasium's spaces to the plain sizes that networks need."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sac_lightning.errors import ConfigError, require
from sac_lightning.spaces import ActionSpec, BoxAction, DiscreteAction, ObsSpec

ACTIONS = "supported: Box of floats, and Discrete with at least two actions"
DECLARED = "write {box: A} for A numbers, {discrete: n} for n choices (n at least 2), or null"


def obs_spec(space: gym.Space[Any]) -> ObsSpec:
    """Shape and stored dtype of one observation: floats are stored as float32, integers as they are.

    Raises ConfigError unless the space is a Box (`EnvConfig.build` flattens what can be flattened).
    """
    if not isinstance(space, spaces.Box):
        raise ConfigError("env.id", space, "observations of this space are not supported; supported: Box")
    dtype = "float32" if np.issubdtype(space.dtype, np.floating) else str(space.dtype)
    return ObsSpec(tuple(int(size) for size in space.shape), dtype)


def action_spec(space: gym.Space[Any]) -> ActionSpec:
    """What one action is made of: Box -> BoxAction, Discrete -> DiscreteAction.

    Raises ConfigError naming any other space.
    """
    if isinstance(space, spaces.Discrete) and space.n >= 2:
        return DiscreteAction(int(space.n), int(space.start))
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating) and space.low.size:
        require(bool((space.low < space.high).all()), "env.id", space, "every action needs low < high")
        low, high = (tuple(float(bound) for bound in ends.ravel()) for ends in (space.low, space.high))
        return BoxAction(low, high, tuple(int(size) for size in space.shape))
    raise ConfigError("env.id", space, f"actions of this space are not supported; {ACTIONS}")


def declared_action(action: Mapping[str, Any] | None) -> ActionSpec | None:
    """The action space that a config declares, known before any env is made; None when it declares none.

    `{box: A}` gives A numbers with the bounds -1 and 1 in place of the env's own; `{discrete: n}` gives
    n choices. Raises ConfigError for anything else.
    """
    if action is None:
        return None
    if isinstance(action, Mapping) and len(action) == 1:
        kind, size = next(iter(action.items()))
        whole = isinstance(size, int) and not isinstance(size, bool)
        if kind == "box" and whole and size >= 1:
            return BoxAction((-1.0,) * size, (1.0,) * size, (size,))
        if kind == "discrete" and whole and size >= 2:
            return DiscreteAction(size)
    raise ConfigError("env.action", action, DECLARED)


def check_declared(action: Mapping[str, Any] | None, space: gym.Space[Any]) -> None:
    """Raise ConfigError unless the declared action agrees with the env's `space` in kind and size."""
    declared = declared_action(action)
    if declared is None:
        return
    real = action_spec(space)
    if _kind_and_size(declared) != _kind_and_size(real):
        kind, size = _kind_and_size(real)
        raise ConfigError(
            "env.action", action, f"the env's action space is {space}; declare {{{kind}: {size}}} or null"
        )


def _kind_and_size(spec: ActionSpec) -> tuple[str, int]:
    if isinstance(spec, BoxAction):
        return "box", spec.size
    assert isinstance(spec, DiscreteAction)
    return "discrete", spec.n
