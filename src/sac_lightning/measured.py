"""Named numbers that travel as one tensor."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from sac_lightning.types import Scalar


@dataclass(frozen=True, eq=False)
class Measured(Mapping[str, Scalar]):
    """What an update or a look at one told: `numbers` `[M]`, detached, called `names`.

    One tensor, for each one costs a few µs wherever it is handed on.
    """

    names: tuple[str, ...]
    numbers: Float[Tensor, " M"]

    @classmethod
    def of(cls, metrics: Mapping[str, Tensor]) -> Self:
        """`metrics`, each as the mean of its numbers."""
        return cls(tuple(metrics), in_one(metrics.values()))

    def __getitem__(self, name: str) -> Scalar:
        if name not in self.names:
            raise KeyError(name)
        return self.numbers[self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def in_one(metrics: Iterable[Tensor]) -> Float[Tensor, " M"]:
    """The mean of each, side by side."""
    return torch.stack([each if each.ndim == 0 else each.mean() for each in metrics])
