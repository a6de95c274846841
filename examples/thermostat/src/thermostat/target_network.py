"""A target network of your own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sac_lightning.core.errors import number, require
from sac_lightning.networks import TargetNetwork


@dataclass(frozen=True)
class HalfLife(TargetNetwork):
    """A copy that closes half of its distance to the critics in `updates` updates."""

    updates: float = 140.0

    def __post_init__(self) -> None:
        ok = 0.0 < number(self.updates) < 1e9
        require(ok, "target_network.updates", self.updates, "must be a number above 0")

    @torch.no_grad()
    def update_(self, copies: list[Tensor], originals: list[Tensor]) -> None:
        """Moves the copies in place, after each update."""
        torch._foreach_lerp_(copies, originals, 1.0 - 0.5 ** (1.0 / self.updates))
