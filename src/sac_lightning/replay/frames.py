"""Images that are stored once, however many observations show them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sac_lightning.replay.memory import mapped_zeros
from sac_lightning.spaces import Array

NO_SLOT = -1


class Frames:
    """Keeps frames, each in a slot, and counts how many observations show it.

    There are slots for all frames that the transitions could have if no two were equal. Memory, or disk, is
    used for those alone that were written, as many as there ever were frames at the same time.

    Args:
        slots: how many.
        shape: of a frame.
        dtype: of its numbers.
        folder, planned: as for `mapped_zeros`.
    """

    def __init__(
        self,
        slots: int,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        folder: Path | None = None,
        planned: int | None = None,
    ) -> None:
        self.tensor = mapped_zeros((slots, *shape), dtype, folder, planned)
        self._array = self.tensor.numpy()
        self.dtype = self._array.dtype
        self._shown = np.zeros(slots, np.int64)  # in how many observations
        self._free: list[int] = []
        self._written = 0

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

    def __init__(self, frames: Frames, rows: int, stack: int, shape: tuple[int, ...]) -> None:
        self.frames, self.slots = frames, torch.full((rows, stack), NO_SLOT)
        self.shape, self.dtype = torch.Size((rows, *shape)), frames.tensor.dtype

    @property
    def tensors(self) -> list[Tensor]:
        """Returns what `index_select` reads."""
        return [self.frames.tensor, self.slots]

    def index_select(self, dim: int, index: Int[Tensor, " B"]) -> Tensor:
        """Returns the observations of the rows `index`, [B, *obs]."""
        return self._of(self.slots.index_select(dim, index))

    def _of(self, slots: Int[Tensor, "B k"]) -> Tensor:
        return self.frames.tensor.index_select(0, slots.reshape(-1)).reshape(-1, *self.shape[1:])

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
