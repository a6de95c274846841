"""What the processes of a run on several devices exchange: gradients, statistics, checksums, their states."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from sac_lightning.core.errors import require

OTHERS = "ranks"  # in the state of rank 0: those of the others


class RankLost(RuntimeError):
    """Raised where another rank has ended."""


class RanksDiffer(RuntimeError):
    """Raised where networks or optimizers are not the same on all ranks."""


class Ranks:
    """The processes of a fit on several devices: each has its envs, its replay and its share of a mini-batch.

    All ranks call the same methods in the same order; each call waits for the others.

    Args:
        rank: number of this process, at least 0.
        size: how many there are, at least 2.
        device: where tensors that are exchanged lie.
    """

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size, self._device = rank, size, device

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Returns the mean of each tensor over all ranks, exchanged as one flat buffer.

        Means of equal shares of a mini-batch become the mean of the whole: all that gradients need.
        """
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        self._exchange(dist.all_reduce, flat)
        parts = torch.split(flat.div_(self.size), [tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def rows(self, row: Tensor) -> list[Tensor]:
        """Returns `row` of each rank, of the same shape on all."""
        found = [torch.empty_like(row) for _ in range(self.size)]
        self._exchange(dist.all_gather, found, row)
        return found

    def largest(self, value: int) -> int:
        """Returns the largest of the ranks' numbers."""
        found = torch.tensor(value, device=self._device)
        self._exchange(dist.all_reduce, found, op=dist.ReduceOp.MAX)
        return int(found)

    def gather(self, value: Any) -> list[Any]:
        """Returns `value`, plain data and tensors, of each rank; tensors on the CPU."""
        content, found = io.BytesIO(), [b""] * self.size
        torch.save(value, content)
        self._exchange(dist.all_gather_object, found, content.getvalue())
        return [torch.load(io.BytesIO(each), map_location="cpu", weights_only=True) for each in found]

    def states(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns what a checkpoint needs: the state of rank 0, and in it those of the others."""
        first, *others = self.gather(state)
        return {**first, OTHERS: others}

    def check_equal(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises RanksDiffer, on all ranks, unless every tensor has the same bytes on each."""
        sums = {name: _checksum(tensor) for name, tensor in tensors.items()}
        first, *others = self.gather(sums)
        for rank, other in enumerate(others, 1):
            different = [name for name in first if first[name] != other.get(name)]
            if different:
                raise RanksDiffer(
                    f"{len(different)} of {len(first)} tensors are not the same on rank 0 and rank {rank}, "
                    f"{different[0]} among them: all ranks must update alike. A part of your own that keeps "
                    "statistics of mini-batches, or draws random numbers, cannot run on several devices"
                )

    def _exchange(self, collective: Any, *tensors: Any, **options: Any) -> None:
        try:
            collective(*tensors, **options)
        except RuntimeError as error:
            lost = f"rank {self.rank} has lost another rank, whose log may say why it has ended"
            raise RankLost(lost) from error


def own_state(state: Mapping[str, Any], ranks: Ranks | None) -> Mapping[str, Any]:
    """Returns this rank's part of `Ranks.states`. Raises ConfigError where their number is another."""
    size, now = 1 + len(state.get(OTHERS, ())), 1 if ranks is None else ranks.size
    allowed = f"the checkpoint is of a run on {size}: resume it with devices={size}"
    require(now == size, "devices", now, allowed)
    own: Mapping[str, Any] = state if ranks is None or not ranks.rank else state[OTHERS][ranks.rank - 1]
    return own


def seed_of_rank(seed: int, rank: int) -> int:
    """Returns the seed of a rank's envs, replay and noise; of rank 0 it is the run's."""
    return int(np.random.SeedSequence([seed, rank]).generate_state(1)[0] >> 1) if rank else seed


def _checksum(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(flat.numpy().tobytes()).hexdigest()
