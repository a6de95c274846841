"""A pessimism of your own."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sac_lightning.core.errors import number, require
from sac_lightning.networks import Mean, Min, Pessimism


@dataclass(frozen=True)
class PartlyMin(Pessimism):
    """share · min_i Q_i + (1 − share) · mean_i Q_i."""

    least_critics: ClassVar[int] = 2
    share: float = 0.75

    def __post_init__(self) -> None:
        ok = 0.0 <= number(self.share) <= 1.0
        require(ok, "pessimism.share", self.share, "must be a number in [0, 1]")

    def value(self, q: Tensor) -> Tensor:
        """Returns one value from those of N critics: [N, ...] -> [...]."""
        return self.share * Min().value(q) + (1.0 - self.share) * Mean().value(q)

    def distribution(self, q: Tensor, mass: Tensor) -> Tensor:
        """Returns one distribution from those of N critics, for value_head=categorical."""
        lowest, mean = Min().distribution(q, mass), Mean().distribution(q, mass)
        return self.share * lowest + (1.0 - self.share) * mean
