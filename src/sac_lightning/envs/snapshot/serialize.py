"""Env state and random generators as plain data, and plain data as what a checkpoint may contain.

*Plain* is None, bool, int, float, str, NumPy arrays and scalars, and dicts (with str keys), lists and tuples
of these. A checkpoint is loaded with `weights_only=True`, which knows no NumPy: `to_checkpoint` makes tensors
of arrays and marks the scalars, so that `from_checkpoint` gives back the same bits and types.
"""

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from sac_lightning.envs.guard import EnvError
from sac_lightning.private.gymnasium import own_spaces, set_space_random, space_random

KINDS = "biuf"  # bool, integers, floats
SCALAR = "numpy scalar"
GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def plain(value: Any, where: str) -> Any:
    """Returns `value` copied as plain data, a deque as a list. Raises EnvError naming `where` otherwise."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        dtype = value.dtype
        if dtype.kind in KINDS and dtype.isnative and dtype.itemsize <= 8:  # there is such a tensor
            return value if isinstance(value, np.generic) else np.array(value, order="C")
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | deque):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if type(value) is tuple:
        return tuple(plain(item, f"{where}[{i}]") for i, item in enumerate(value))
    raise EnvError(f"{where} is a {type(value).__name__}, which a checkpoint cannot contain")


def to_checkpoint(value: Any) -> Any:
    """Returns plain data as tensors, numbers, strings, lists, tuples and dicts."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value, order="C"))
    if isinstance(value, np.generic):
        return {SCALAR: torch.from_numpy(np.array(value))}
    if isinstance(value, dict):
        return {key: to_checkpoint(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_checkpoint(item) for item in value)
    return value


def from_checkpoint(value: Any) -> Any:
    """Returns what `to_checkpoint` was given."""
    if isinstance(value, torch.Tensor):
        return value.cpu().numpy().copy()
    if isinstance(value, dict):
        if value.keys() == {SCALAR}:
            return value[SCALAR].cpu().numpy()[()]
        return {key: from_checkpoint(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(from_checkpoint(item) for item in value)
    return value


# --- random generators -------------------------------------------------------------------------------


def generator_state(generator: np.random.Generator | None) -> dict[str, Any] | None:
    """Returns the state of `generator`; None for one that was never made."""
    return None if generator is None else plain(generator.bit_generator.state, "the random generator")


def generator_from(state: dict[str, Any] | None) -> np.random.Generator | None:
    """Returns a generator that continues from `state`. Raises ValueError for an unknown kind."""
    if state is None:
        return None
    name = state["bit_generator"]
    if name not in GENERATORS:
        raise ValueError(f"there is no random generator called {name!r}")
    generator = np.random.Generator(getattr(np.random, name)())
    generator.bit_generator.state = state
    return generator


def spaces_state(owner: Any) -> dict[str, Any]:
    """Returns the states of the generators of the spaces that `owner` itself has as attributes."""
    return {name: _space_state(space) for name, space in own_spaces(owner).items()}


def restore_spaces(owner: Any, state: dict[str, Any]) -> None:
    """Gives the spaces of `owner` their generators back."""
    for name, space in own_spaces(owner).items():
        if name in state:
            _restore_space(space, state[name])


def _space_state(space: gym.Space[Any]) -> dict[str, Any]:
    return {
        "generator": generator_state(space_random(space)),
        "parts": [_space_state(part) for part in _parts(space)],
    }


def _restore_space(space: gym.Space[Any], state: dict[str, Any]) -> None:
    set_space_random(space, generator_from(state["generator"]))
    for part, part_state in zip(_parts(space), state["parts"], strict=True):
        _restore_space(part, part_state)


def _parts(space: gym.Space[Any]) -> list[gym.Space[Any]]:
    if isinstance(space, spaces.Dict):
        return list(space.spaces.values())
    if isinstance(space, spaces.Tuple | spaces.OneOf):
        return list(space.spaces)
    return []
