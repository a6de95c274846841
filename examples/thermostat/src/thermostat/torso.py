"""A torso of your own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sac_lightning.core.errors import number, require
from sac_lightning.networks import Torso
from sac_lightning.networks.ensemble import EnsembleLayerNorm, EnsembleLinear


@dataclass(frozen=True)
class Residual(Torso):
    """A linear layer, then one residual block for each entry of `hidden_sizes`; the last is the width."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        require(0.0 < number(self.scale) <= 1.0, "torso.scale", self.scale, "must be a number in (0, 1]")

    def build(
        self, num: int, size_in: int, hidden_sizes: Sequence[int], generator: torch.Generator
    ) -> nn.Module:
        """Returns `num` networks side by side: one for the actor, all critics for the critics."""
        width = hidden_sizes[-1]
        blocks = [Block(num, width, hidden, self.scale, generator) for hidden in hidden_sizes]
        return nn.Sequential(EnsembleLinear(num, size_in, width, generator), *blocks)


class Block(nn.Module):
    """x + scale · W₂ relu(W₁ norm(x)), [N, B, H] -> [N, B, H]."""

    def __init__(self, num: int, width: int, hidden: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.norm, self.scale = EnsembleLayerNorm(num, width), scale
        self.into = EnsembleLinear(num, width, hidden, generator)
        self.back = EnsembleLinear(num, hidden, width, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the features after this block."""
        return x + self.scale * self.back(self.into(self.norm(x)).relu())
