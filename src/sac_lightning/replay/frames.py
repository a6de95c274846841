"""Images that are stored once, however many observations show them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sac_lightning.replay.memory import mapped_zeros
from sac_lightning.spaces import Array, ObsSpec

NO_SLOT = -1


class Frames:
    """Stores the observations of a ring of transitions as frames, and each frame once.

    A frame lies in a slot, and the number of observations that show it is counted. There are slots for all
    frames that the transitions could have if no two were equal. Memory, or disk, is used for those alone that
    were written, as many as there ever were frames at the same time.

    Args:
        capacity: rows of the ring.
        stack: k, frames of an observation.
        obs: shape and dtype of an observation.
        folder: as for `mapped_zeros`.
    """

    def __init__(self, capacity: int, stack: int, obs: ObsSpec, folder: Path | None = None) -> None:
        self._stacked = (stack, obs.shape[0] // stack, *obs.shape[1:])
        shape = (2 * stack * capacity, *self._stacked[1:])
        self.tensor = mapped_zeros(shape, getattr(torch, obs.dtype), folder, planned=capacity)
        self.obs, self.next_obs = (FrameRows(self.tensor, capacity, stack, obs.shape) for _ in range(2))
        self._array = self.tensor.numpy()
        self._shown = np.zeros(len(self._array), np.int64)  # in how many observations
        self._free: list[int] = []
        self._written = 0
        self._last_seen: dict[int, list[int]] = {}  # of each env, the slots of its last next_obs

    def add(self, rows: Array, env: Array, obs: Array, next_obs: Array) -> None:
        """Stores the observations of these rows: those frames that were not there already."""
        now, then = self.obs.slots.numpy(), self.next_obs.slots.numpy()
        for row in rows:
            self.drop(now[row])
            self.drop(then[row])
        # In the frames' dtype, or none would be found equal.
        dtype, shape = self._array.dtype, (len(rows), *self._stacked)
        seen, following = (each.astype(dtype, copy=False).reshape(shape) for each in (obs, next_obs))
        nothing = [NO_SLOT] * self._stacked[0]
        for row, which, stack, next_stack in zip(rows, env.tolist(), seen, following, strict=True):
            slots = self.put(stack, self._last_seen.get(which, nothing))
            after = self.put(next_stack, [*slots[1:], slots[-1]])
            now[row], then[row], self._last_seen[which] = slots, after, after

    def put(self, stack: Array, hints: Iterable[int]) -> list[int]:
        """Stores the frames of an observation and returns their slots.

        Args:
            stack: the frames, [k, *frame].
            hints: a slot for each frame, or NO_SLOT, where the same frame may be already.
        """
        slots: list[int] = []
        for frame, hint in zip(stack, hints, strict=True):
            near = (hint, *slots[-1:])  # the first frames of an episode are often equal
            known = (each for each in near if each != NO_SLOT and self._shown[each])
            slot = next((each for each in known if np.array_equal(self._array[each], frame)), NO_SLOT)
            slots.append(self._new(frame) if slot == NO_SLOT else slot)
            self._shown[slots[-1]] += 1
        return slots

    def drop(self, slots: Int[np.ndarray, " k"]) -> None:
        """Removes an observation; frames that no other one shows make room."""
        for slot in slots.tolist():
            if slot != NO_SLOT:
                self._shown[slot] -= 1
                if not self._shown[slot]:
                    self._free.append(slot)

    def _new(self, frame: Array) -> int:
        if not self._free:
            self._free.append(self._written)
            self._written += 1
        slot = self._free.pop()
        self._array[slot] = frame
        return slot


class FrameRows:
    """Reads like the tensor [R, *obs] of all rows' observations, each of which is k slots of `Frames`."""

    def __init__(self, frames: Tensor, rows: int, stack: int, shape: tuple[int, ...]) -> None:
        self.frames, self.slots = frames, torch.full((rows, stack), NO_SLOT)
        self.shape, self.dtype = torch.Size((rows, *shape)), frames.dtype

    @property
    def tensors(self) -> list[Tensor]:
        """Returns what `index_select` reads."""
        return [self.frames, self.slots]

    def index_select(self, dim: int, index: Int[Tensor, " B"]) -> Tensor:
        """Returns the observations of the rows `index`, [B, *obs]."""
        return self._of(self.slots.index_select(dim, index))

    def _of(self, slots: Int[Tensor, "B k"]) -> Tensor:
        return self.frames.index_select(0, slots.reshape(-1)).reshape(-1, *self.shape[1:])

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self._of(self.slots[rows])

    def __len__(self) -> int:
        return len(self.slots)

    def element_size(self) -> int:
        """Returns the bytes of a number."""
        return self.dtype.itemsize

    def numpy(self) -> Array:
        """Returns a copy of all observations."""
        return self[:].numpy()
