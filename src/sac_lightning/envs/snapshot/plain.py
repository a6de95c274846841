"""Env state as plain data, and plain data as what a checkpoint may hold.

*Plain* is None, bool, int, float, str, NumPy arrays and scalars, and dicts (with str keys), lists and tuples
of these. A checkpoint is loaded with `weights_only=True`, which knows no NumPy: `to_checkpoint` makes tensors
of arrays and marks the scalars, so that `from_checkpoint` gives back the same bits and types.
"""

from collections import deque
from typing import Any

import numpy as np
import torch

from sac_lightning.envs.guard import EnvError

KINDS = "biuf"  # bool, integers, floats
SCALAR = "numpy scalar"


def plain(value: Any, where: str) -> Any:
    """A copy of `value` as plain data, a deque as a list. Raises EnvError naming `where` for the rest."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray | np.generic) and _has_tensor(value.dtype):
        return value if isinstance(value, np.generic) else np.array(value, order="C")
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | deque):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if type(value) is tuple:
        return tuple(plain(item, f"{where}[{i}]") for i, item in enumerate(value))
    raise EnvError(f"{where} is a {type(value).__name__}, which a checkpoint cannot hold")


def to_checkpoint(value: Any) -> Any:
    """Plain data as tensors, numbers, strings, lists, tuples and dicts."""
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
    """What `to_checkpoint` was given."""
    if isinstance(value, torch.Tensor):
        return value.cpu().numpy().copy()
    if isinstance(value, dict):
        if value.keys() == {SCALAR}:
            return value[SCALAR].cpu().numpy()[()]
        return {key: from_checkpoint(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(from_checkpoint(item) for item in value)
    return value


def _has_tensor(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in KINDS and dtype.isnative and dtype.itemsize <= 8
