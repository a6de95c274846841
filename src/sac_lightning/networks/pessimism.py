"""Pessimism: how the values of N critics become one, against overestimation."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from sac_lightning.core.spec import Described


class Pessimism(Described):
    """Reduces an ensemble of critics to one value, or to one distribution over returns.

    To add one, subclass this as a frozen dataclass whose fields are the options of its YAML file.
    """

    config_key: ClassVar[str] = "pessimism"
    # Critics without which it has no meaning.
    least_critics: ClassVar[int] = 1

    @abstractmethod
    def value(self, q: Float[Tensor, "N *q"]) -> Float[Tensor, "*q"]:
        """Returns one value from those of N critics."""

    @abstractmethod
    def distribution(
        self, q: Float[Tensor, "N K B"], mass: Float[Tensor, "N K B F"]
    ) -> Float[Tensor, "K B F"]:
        """Returns one distribution from those of N critics, whose means are `q`."""


@dataclass(frozen=True)
class Min(Pessimism):
    """Takes the lowest critic: clipped double Q     (1802.09477)."""

    least_critics: ClassVar[int] = 2

    def value(self, q: Float[Tensor, "N *q"]) -> Float[Tensor, "*q"]:
        return q.amin(dim=0)

    def distribution(
        self, q: Float[Tensor, "N K B"], mass: Float[Tensor, "N K B F"]
    ) -> Float[Tensor, "K B F"]:
        lowest = q.argmin(dim=0)[None, ..., None].expand(-1, -1, -1, mass.shape[-1])
        return mass.gather(0, lowest).squeeze(0)


@dataclass(frozen=True)
class Mean(Pessimism):
    """Takes the mean of all critics: no pessimism (for discrete actions: 2209.10081)."""

    def value(self, q: Float[Tensor, "N *q"]) -> Float[Tensor, "*q"]:
        return q.mean(dim=0)

    def distribution(
        self, q: Float[Tensor, "N K B"], mass: Float[Tensor, "N K B F"]
    ) -> Float[Tensor, "K B F"]:
        return mass.mean(dim=0)
