"""An action head of your own."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sac_lightning.core.errors import number, require
from sac_lightning.heads import TanhNormal


@dataclass(frozen=True)
class ConstantStd(TanhNormal):
    """`TanhNormal` with one σ for all states: the actor learns the mean alone."""

    std: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0.0 < number(self.std) <= 2.0, "std", self.std, "must be a number in (0, 2]")

    @property
    def feature_size(self) -> int:
        """The means."""
        return self.size

    def mean_and_log_std(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """μ as the actor gives it, log σ as it was configured."""
        return features, torch.full_like(features, math.log(self.std))
