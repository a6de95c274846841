"""An encoder of your own."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sac_lightning.networks import Encoder
from sac_lightning.spaces import ObsSpec


@dataclass(frozen=True)
class Symlog(Encoder):
    """Adds sign(x) · log(1 + |x|) of every number to the observation."""

    def build(self, obs: ObsSpec, generator: torch.Generator) -> nn.Module:
        """Returns the module; `generator` is for the initial weights, of which there are none."""
        return SymlogObs(obs)


class SymlogObs(nn.Module):
    """[B, *obs] -> [B, 2 O]."""

    def __init__(self, obs: ObsSpec) -> None:
        super().__init__()
        self.size_out = 2 * obs.size  # actor and critics ask for it

    def forward(self, obs: Tensor) -> Tensor:
        """Returns the numbers and their logarithms."""
        x = obs.flatten(1).float()
        return torch.cat((x, x.sign() * x.abs().log1p()), dim=-1)
