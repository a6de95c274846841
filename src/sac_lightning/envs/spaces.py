"""From Gymnasium's spaces to the plain sizes that networks need, and the flat form of hybrid actions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sac_lightning.core.errors import ConfigError, as_whole, require, whole
from sac_lightning.spaces import (
    ActionSpec,
    Array,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
    ObsPart,
    ObsSpec,
)

ACTIONS = (
    "supported: Box of floats, Discrete, MultiDiscrete, MultiBinary, "
    "and a Tuple or Dict of a Discrete and Boxes"
)
OBSERVATIONS = (
    "supported: Box, Discrete, MultiDiscrete, MultiBinary, and a Dict or Tuple of them; leave other keys out "
    "with env.wrappers=[{name: FilterObservation, filter_keys: [...]}]"
)
BYTES = ("uint8", "bool")
HYBRID = "a Tuple or Dict of actions must have one Discrete and at least one bounded Box of floats"
WIDEST = 8  # bytes of a number: float64
MOST = 1_000_000  # numbers or choices of one action
DECLARED = (
    "write {box: A} for A numbers, {discrete: n} for n choices (n at least 2), {multi_discrete: [n, m]} "
    "for several choices, {hybrid: [n, A]} for a choice with A numbers, or null"
)


class FlatHybrid(spaces.Box):
    """Flattens a Tuple or Dict to `[1 + A]`: the choice of `n` from 0 on, then the boxes' numbers.

    Raises ConfigError on `env.id` unless `space` has one Discrete and at least one bounded Box of floats.
    """

    def __init__(self, space: "spaces.Tuple[Any] | spaces.Dict") -> None:
        leaves = [leaf for _, leaf, _ in _leaves(space)]
        choices = [leaf for leaf in leaves if isinstance(leaf, spaces.Discrete)]
        boxes = [leaf for leaf in leaves if isinstance(leaf, spaces.Box)]
        if len(choices) != 1 or not boxes or len(leaves) != 1 + len(boxes) or choices[0].n < 2:
            raise ConfigError("env.id", space, f"these actions are not supported; {HYBRID}")
        low = np.concatenate([np.ravel(box.low) for box in boxes])
        high = np.concatenate([np.ravel(box.high) for box in boxes])
        floats = all(_floats(box.dtype) for box in boxes)
        if not (floats and np.isfinite((low, high)).all() and (low < high).all()):
            raise ConfigError("env.id", space, f"every number needs finite bounds, low < high; {HYBRID}")
        self.n = int(choices[0].n)
        # Wide enough for the bounds of each box: float32 has no 0.1, and its next number lies outside.
        dtype = np.result_type(np.float32, *(box.dtype for box in boxes))
        ends = np.array([[0, *low], [self.n - 1, *high]], dtype)
        super().__init__(ends[0], ends[1], dtype=dtype.type)


class ObsRow(spaces.Box):
    """Puts an observation of fixed size into one row [O]: numbers as they are, a choice counted from 0.

    The row is uint8 where that holds every number (images, bits, choices of at most 256), else float32.
    Raises ConfigError on `env.id` unless `space` is a Discrete, MultiDiscrete or MultiBinary, or a Dict or
    Tuple of these and of Boxes.

    Args:
        space: the env's own.
        mask: the key of an action mask; None for none.
        choices: sizes of the action's choices, which the mask is for.
        critic_only: keys that the actor does not see; they come last in the row.
    """

    def __init__(
        self,
        space: gym.Space[Any],
        mask: str | None = None,
        choices: tuple[int, ...] = (),
        critic_only: Sequence[str] = (),
    ) -> None:
        self.nested = space
        parts = [_obs_part(name, leaf) for name, leaf, _ in _leaves(space)]
        for key in critic_only:
            found = ", ".join(part.name for part in parts if part.name)
            allowed = f"must be keys of the observations that leave the actor one: {found or space}"
            require(any(part.name == key for part in parts), "env.critic_only", key, allowed)
        hidden = [part.name in critic_only for part in parts]
        require(not all(hidden), "env.critic_only", list(critic_only), "must leave the actor a key")
        self._order = sorted(range(len(parts)), key=hidden.__getitem__)
        self.parts = tuple(replace(parts[i], critic_only=hidden[i]) for i in self._order)
        if mask is not None:
            parts = [_mask_part(each, choices) if each.name == mask else each for each in self.parts]
            self.parts = tuple(parts)
            found = ", ".join(part.name for part in parts)
            allowed = f"must be info, or a key of the observations: {found or space}"
            require(any(part.mask_of for part in parts), "env.action_mask", mask, allowed)
        bytes_do = all(part.dtype in BYTES or 0 < max(part.choices, default=0) <= 256 for part in self.parts)
        low, high, dtype = (0, 255, np.uint8) if bytes_do else (-np.inf, np.inf, np.float32)
        super().__init__(low, high, (sum(part.size for part in self.parts),), dtype)

    def row(self, observation: Any) -> Array:
        """Returns the row of an observation of the env's own space."""
        numbers = [_numbers(leaf, value) for _, leaf, value in _leaves(self.nested, observation)]
        return np.concatenate([numbers[i] for i in self._order], dtype=self.dtype, casting="unsafe")


def _obs_part(name: str, space: Any) -> ObsPart:
    if isinstance(space, spaces.Box):
        return ObsPart(name, tuple(map(int, space.shape)), str(space.dtype))
    if isinstance(space, spaces.MultiBinary):  # its numbers are 0 and 1 as they are
        return ObsPart(name, tuple(map(int, space.shape)), "bool")
    sizes = np.ravel(getattr(space, "nvec", getattr(space, "n", 0)))
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and sizes.sum() <= MOST:
        return ObsPart(name, (len(sizes),), str(space.dtype), tuple(map(int, sizes)))
    raise ConfigError("env.id", space, f"observations of this space are not supported; {OBSERVATIONS}")


def _mask_part(part: ObsPart, choices: tuple[int, ...]) -> ObsPart:
    size = sum(choices)
    allowed = f"needs {size} bits, one for each action; this key has {part.size} numbers of {part.dtype}"
    require(part.size == size and not part.choices, "env.action_mask", part.name, allowed)
    require(not part.critic_only, "env.critic_only", part.name, "the actor needs the action mask")
    return ObsPart(part.name, (size,), "bool", mask_of=choices)


def _numbers(space: Any, value: Any) -> Array:
    numbers = np.ravel(value)
    is_choice = isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
    return numbers - np.ravel(space.start) if is_choice else numbers


def obs_spec(space: gym.Space[Any]) -> ObsSpec:
    """Returns shape and stored dtype of one observation: floats are stored as float32, integers as they are.

    Raises ConfigError unless the space is a Box (`EnvConfig.build` makes an ObsRow of any other).
    """
    if isinstance(space, ObsRow):
        return ObsSpec(tuple(map(int, space.shape)), str(space.dtype), space.parts)
    if not isinstance(space, spaces.Box):
        raise ConfigError("env.id", space, "observations of this space are not supported; supported: Box")
    dtype = "float32" if np.issubdtype(space.dtype, np.floating) else str(space.dtype)
    return ObsSpec(tuple(int(size) for size in space.shape), dtype)


def action_spec(space: gym.Space[Any]) -> ActionSpec:
    """Returns what one action is made of; the env's actions must be flat (`EnvConfig.build` flattens them).

    Raises ConfigError naming any space that is not supported.
    """
    if isinstance(space, FlatHybrid):
        low, high = (tuple(float(bound) for bound in ends[1:]) for ends in (space.low, space.high))
        return HybridAction(space.n, BoxAction(low, high, (len(low),), str(space.dtype)))
    if isinstance(space, spaces.Discrete) and space.n >= 2:
        return DiscreteAction(int(space.n), int(space.start), str(space.dtype))
    if isinstance(space, spaces.MultiDiscrete) and math.prod(space.nvec.shape) and space.nvec.max() >= 2:
        sizes, starts = (tuple(int(size) for size in each.ravel()) for each in (space.nvec, space.start))
        shape = tuple(int(size) for size in space.shape)
        return MultiDiscreteAction(sizes, starts, shape, str(space.dtype))
    if isinstance(space, spaces.MultiBinary) and 0 not in space.shape:  # each bit is a choice of two
        shape = tuple(int(size) for size in space.shape)
        sizes = (2,) * math.prod(shape)
        return MultiDiscreteAction(sizes, (0,) * len(sizes), shape, str(space.dtype))
    if isinstance(space, spaces.Box) and _floats(space.dtype) and space.low.size:
        require(bool((space.low < space.high).all()), "env.id", space, "every action needs low < high")
        low, high = (tuple(float(bound) for bound in ends.ravel()) for ends in (space.low, space.high))
        return BoxAction(low, high, tuple(int(size) for size in space.shape), str(space.dtype))
    raise ConfigError("env.id", space, f"actions of this space are not supported; {ACTIONS}")


def declared_action(action: Mapping[str, Any] | None) -> ActionSpec | None:
    """Returns the action space that a config declares, before any env is made; None when it declares none.

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
    """Raises ConfigError unless the declared action agrees with the env's `space` in kind and size."""
    declared = declared_action(action)
    if declared is not None:
        kind, size = _declaration(action_spec(space))
        allowed = f"the env's action space is {space}; declare {{{kind}: {size}}} or null"
        require(_declaration(declared) == (kind, size), "env.action", action, allowed)


def _declaration(spec: ActionSpec) -> tuple[str, Any]:
    if isinstance(spec, BoxAction):
        return "box", spec.size
    if isinstance(spec, MultiDiscreteAction):
        return "multi_discrete", list(spec.sizes)
    if isinstance(spec, HybridAction):
        return "hybrid", [spec.n, spec.numbers.size]
    assert isinstance(spec, DiscreteAction)
    return "discrete", spec.n


def _leaves(space: Any, value: Any = None, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields each space that is no Dict or Tuple: its keys `outer/inner`, itself, and its part of `value`."""
    if isinstance(space, spaces.Tuple | spaces.Dict):
        keys: Any = space.spaces if isinstance(space, spaces.Dict) else range(len(space.spaces))
        for key in keys:
            inner = None if value is None else value[key]
            yield from _leaves(space[key], inner, f"{name}/{key}" if name else str(key))
    else:
        yield name, space, value


def _floats(dtype: Any) -> bool:
    return np.issubdtype(dtype, np.floating) and dtype.itemsize <= WIDEST


def _counts(*sizes: Any, least: int) -> bool:
    return all(least <= whole(size) <= MOST for size in sizes)


def _unit_box(size: int) -> BoxAction:
    return BoxAction((-1.0,) * size, (1.0,) * size, (size,))
