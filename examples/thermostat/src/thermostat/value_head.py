"""A value head of your own."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from sac_lightning.core.errors import number, require
from sac_lightning.networks import ScalarValue


@dataclass(frozen=True)
class HuberValue(ScalarValue):
    """One output per action, learned by the Huber loss: large errors count linearly."""

    delta: float = 1.0

    def __post_init__(self) -> None:
        ok = 0.0 < number(self.delta) < 1e9
        require(ok, "value_head.delta", self.delta, "must be a number above 0")

    def loss(self, features: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Returns the loss of N critics: features [N, B, 1], target [B], weight [B]."""
        q = features.squeeze(-1)
        error = F.huber_loss(q, target.expand_as(q), reduction="none", delta=self.delta)
        return (weight * error).mean(dim=1).sum()  # summed over critics, which learn independently
