"""What the heads of several choices at once share."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sac_lightning.heads.base import ActionHead, Interval
from sac_lightning.spaces import ActionSpec, MultiDiscreteAction


@dataclass(frozen=True)
class SeveralChoices(ActionHead):
    """π(a|s) = Π_d π_d(a_d|s), each π_d a softmax of its own `sizes[d]` features."""

    sizes: tuple[int, ...]

    @classmethod
    def sized(cls, action: ActionSpec) -> dict[str, Any]:
        assert isinstance(action, MultiDiscreteAction)
        return {"sizes": action.sizes}

    @property
    def feature_size(self) -> int:
        return sum(self.sizes)

    @property
    def num_choices(self) -> int:
        return math.prod(self.sizes)

    def draw_acting_noise(
        self, states: int, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "B F"]:
        """Uniform."""
        return torch.rand(states, self.feature_size, generator=generator, device=device)

    @property
    def entropy_interval(self) -> Interval:
        return Interval(0.0, math.fsum(math.log(size) for size in self.sizes))
