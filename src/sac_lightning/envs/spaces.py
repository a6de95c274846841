"""From Gymnasium's spaces to the plain sizes that networks need."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sac_lightning.core.errors import ConfigError, as_whole, require
from sac_lightning.envs.hybrid import WIDEST, ChoiceAndNumbers
from sac_lightning.spaces import (
    ActionSpec,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
    ObsSpec,
)

ACTIONS = "supported: Box of floats, Discrete, MultiDiscrete, and a Tuple or Dict of a Discrete and Boxes"
MOST = 1_000_000  # numbers or choices of one action
DECLARED = (
    "write {box: A} for A numbers, {discrete: n} for n choices (n at least 2), {multi_discrete: [n, m]} "
    "for several choices, {hybrid: [n, A]} for a choice with A numbers, or null"
)


def obs_spec(space: gym.Space[Any]) -> ObsSpec:
    """Shape and stored dtype of one observation: floats are stored as float32, integers as they are.

    Raises ConfigError unless the space is a Box (`EnvConfig.build` flattens what can be flattened).
    """
    if not isinstance(space, spaces.Box):
        raise ConfigError("env.id", space, "observations of this space are not supported; supported: Box")
    dtype = "float32" if np.issubdtype(space.dtype, np.floating) else str(space.dtype)
    return ObsSpec(tuple(int(size) for size in space.shape), dtype)


def action_spec(space: gym.Space[Any]) -> ActionSpec:
    """What one action is made of, of an env whose actions are flat (`EnvConfig.build` sees to that).

    Raises ConfigError naming any space that is not supported.
    """
    if isinstance(space, ChoiceAndNumbers):
        low, high = (tuple(float(bound) for bound in ends[1:]) for ends in (space.low, space.high))
        return HybridAction(space.n, BoxAction(low, high, (len(low),), str(space.dtype)))
    if isinstance(space, spaces.Discrete) and space.n >= 2:
        return DiscreteAction(int(space.n), int(space.start), str(space.dtype))
    if isinstance(space, spaces.MultiDiscrete) and math.prod(space.nvec.shape) and space.nvec.max() >= 2:
        sizes, starts = (tuple(int(size) for size in each.ravel()) for each in (space.nvec, space.start))
        shape = tuple(int(size) for size in space.shape)
        return MultiDiscreteAction(sizes, starts, shape, str(space.dtype))
    if isinstance(space, spaces.Box) and _floats(space.dtype) and space.low.size:
        require(bool((space.low < space.high).all()), "env.id", space, "every action needs low < high")
        low, high = (tuple(float(bound) for bound in ends.ravel()) for ends in (space.low, space.high))
        return BoxAction(low, high, tuple(int(size) for size in space.shape), str(space.dtype))
    raise ConfigError("env.id", space, f"actions of this space are not supported; {ACTIONS}")


def declared_action(action: Mapping[str, Any] | None) -> ActionSpec | None:
    """The action space that a config declares, known before any env is made; None when it declares none.

    Numbers get the bounds -1 and 1 in place of the env's own. Raises ConfigError for what is no
    declaration.
    """
    if action is None:
        return None
    if isinstance(action, Mapping) and len(action) == 1:
        kind, given = next(iter(action.items()))
        size: Any = [as_whole(each) for each in given] if isinstance(given, list | tuple) else as_whole(given)
        if kind == "box" and _counts(size, least=1):
            return _unit_box(size)
        if kind == "discrete" and _counts(size, least=2):
            return DiscreteAction(size)
        several = isinstance(size, Sequence) and not isinstance(size, str)
        if kind == "multi_discrete" and several and _counts(*size, least=1) and max(size, default=0) >= 2:
            return MultiDiscreteAction(tuple(size), (0,) * len(size), (len(size),))
        if kind == "hybrid" and several and len(size) == 2 and _counts(*size, least=1) and size[0] >= 2:
            return HybridAction(size[0], _unit_box(size[1]))
    raise ConfigError("env.action", action, DECLARED)


def check_declared(action: Mapping[str, Any] | None, space: gym.Space[Any]) -> None:
    """Raise ConfigError unless the declared action agrees with the env's `space` in kind and size."""
    declared = declared_action(action)
    if declared is None:
        return
    real = _declaration(action_spec(space))
    if _declaration(declared) != real:
        (kind, size), *_ = real.items()
        raise ConfigError(
            "env.action", action, f"the env's action space is {space}; declare {{{kind}: {size}}} or null"
        )


def _declaration(spec: ActionSpec) -> dict[str, Any]:
    if isinstance(spec, BoxAction):
        return {"box": spec.size}
    if isinstance(spec, MultiDiscreteAction):
        return {"multi_discrete": list(spec.sizes)}
    if isinstance(spec, HybridAction):
        return {"hybrid": [spec.n, spec.numbers.size]}
    assert isinstance(spec, DiscreteAction)
    return {"discrete": spec.n}


def _floats(dtype: Any) -> bool:
    return np.issubdtype(dtype, np.floating) and dtype.itemsize <= WIDEST


def _counts(*sizes: Any, least: int) -> bool:
    return all(
        isinstance(size, int) and not isinstance(size, bool) and least <= size <= MOST for size in sizes
    )


def _unit_box(size: int) -> BoxAction:
    return BoxAction((-1.0,) * size, (1.0,) * size, (size,))
