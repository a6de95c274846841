"""The rows of a replay buffer: preallocated tensors, which are written in a ring."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sac_lightning.replay.frames import FrameRows, Frames
from sac_lightning.replay.memory import mapped_zeros
from sac_lightning.spaces import ActionSpec, Array, ObsSpec

Rows = Array | Tensor


class Ring(NamedTuple):
    """Stores the rows of the buffer, `[R, ...]` each.

    Where images are stored once, `obs` and `next_obs` are FrameRows, which are read like tensors.
    """

    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    terminated: Tensor
    truncated: Tensor
    env: Tensor  # number of the env, int16
    log_prob: Tensor  # log π(a|s) of the policy that chose the action; NaN where unknown


class RingStorage:
    """Stores transition i in row i mod capacity, until another one overwrites it.

    Args:
        capacity: rows of the ring.
        extra_rows: further rows behind it.
        obs: shape and dtype of an observation.
        action: the action space.
        device: where the rows lie.
        stack: frames of an observation, each of which is stored once; 0 where observations are stored whole.
        folder: of the files in which the rows lie; None for memory.
    """

    def __init__(
        self,
        capacity: int,
        extra_rows: int,
        obs: ObsSpec,
        action: ActionSpec,
        device: torch.device,
        stack: int = 0,
        folder: Path | None = None,
    ) -> None:
        self.capacity, self._on_cpu = capacity, device.type == "cpu"

        def zeros(shape: tuple[int, ...] = (), dtype: str = "float32") -> Tensor:
            full, of_torch = (capacity + extra_rows, *shape), getattr(torch, dtype)
            if folder is not None:
                return mapped_zeros(full, of_torch, folder)
            return torch.zeros(full, dtype=of_torch, device=device)

        self.frames = Frames(capacity, stack, obs, folder) if stack else None
        obs_rows: Any
        if self.frames is None:
            obs_rows = zeros(obs.shape, obs.dtype), zeros(obs.shape, obs.dtype)
        else:
            obs_rows = self.frames.obs, self.frames.next_obs
        # What `ReplayBuffer.gather` reads.
        self.all_rows = Ring(
            obs=obs_rows[0],
            action=zeros(*action.row),
            reward=zeros(),
            next_obs=obs_rows[1],
            terminated=zeros(dtype="bool"),
            truncated=zeros(dtype="bool"),
            env=zeros(dtype="int16"),
            log_prob=zeros(),
        )
        self.store = Ring(*(each[:capacity] for each in self.all_rows)) if extra_rows else self.all_rows
        fields: tuple[Any, ...] = self.store
        self._tensors = [None if isinstance(field, FrameRows) else field for field in fields]
        # On the CPU rows are written through NumPy, whose assignment costs less than PyTorch's.
        self._arrays = [each.numpy() if self._on_cpu and each is not None else each for each in self._tensors]

    @property
    def tensors(self) -> list[Tensor]:
        """Returns the tensors that `ReplayBuffer.gather` reads; `write` changes them in place."""
        rows: Any = self.all_rows
        read = (rows.obs, rows.action, rows.reward, rows.next_obs, rows.terminated, rows.log_prob)
        return [tensor for field in read for tensor in getattr(field, "tensors", [field])]

    def write(self, new: Sequence[Rows], number: int) -> None:
        """Writes M transitions, the fields of a Ring, of which the first one has that number."""
        columns: Sequence[Any] = self._arrays
        if isinstance(new[2], Tensor) or not self._on_cpu:
            columns, new = self._tensors, [_tensor(each) for each in new]
        if self.frames is not None:
            obs, _, reward, next_obs, _, _, env, _ = new
            rows = (number + np.arange(len(reward))) % self.capacity
            self.frames.add(rows, as_array(env), as_array(obs), as_array(next_obs))
        write_around(columns, new, number % self.capacity, self.capacity)


def write_around(columns: Sequence[Any], new: Sequence[Any], start: int, capacity: int) -> None:
    """Writes `new` [M, ...] into each of `columns` from row `start` on; behind the last row follows row 0.

    There are at most `capacity` rows. A column that is None is left out.
    """
    count = len(new[0])
    first = min(count, capacity - start)
    for column, rows in zip(columns, new, strict=True):
        if column is None:
            continue
        if first == count:
            column[start : start + count] = rows  # copies and casts
        else:
            column[start:], column[: count - first] = rows[:first], rows[first:]


def as_array(rows: Rows) -> Array:
    """Returns rows as an array on the CPU."""
    return rows.cpu().numpy() if isinstance(rows, Tensor) else rows


def _tensor(rows: Rows) -> Tensor:
    return rows if isinstance(rows, Tensor) else torch.from_numpy(np.ascontiguousarray(rows))
