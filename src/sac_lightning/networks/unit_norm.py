"""Layers whose weights keep a fixed length: after each optimizer step they are scaled back to it.

The gradient then changes directions alone, so the effective learning rate does not fall as weights grow.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sac_lightning.networks.ensemble import EnsembleBatchNorm, EnsembleLinear


class UnitLinear(EnsembleLinear):
    """Computes x W (+ b) for N networks, where the weights of each output have length 1.

    The initial weights are orthogonal, the initial bias is 0.

    Args:
        num: N, how many networks.
        size_in: I.
        size_out: J.
        generator: source of the initial weights.
        bias: whether b exists.
    """

    def __init__(
        self, num: int, size_in: int, size_out: int, generator: torch.Generator, *, bias: bool = False
    ) -> None:
        super().__init__(num, size_in, size_out, generator, bias=bias)
        with torch.no_grad():
            for weight in self.weight:  # [I, J]
                nn.init.orthogonal_(weight, generator=generator)
            if self.bias is not None:
                self.bias.zero_()
        self.project_()

    @torch.no_grad()
    def project_(self) -> None:
        """Scales the weights of each output to length 1."""
        self.weight.div_(self.weight.norm(dim=1, keepdim=True).clamp(min=1e-8))


class ScaledBatchNorm(EnsembleBatchNorm):
    """An EnsembleBatchNorm whose gains and biases together keep the length √H     (FlashSAC, 2604.04539)."""

    @torch.no_grad()
    def project_(self) -> None:
        """Scales gain and bias by one factor, so that |(gain, bias)| = √H."""
        squares = (self.weight.square() + self.bias.square()).sum(dim=-1, keepdim=True)
        factor = (self.weight.shape[-1] / squares.clamp(min=1e-8)).sqrt()
        self.weight.mul_(factor)
        self.bias.mul_(factor)


class ScaledRMSNorm(nn.Module):
    """Divides each state's features by their root mean square, times a gain of length √H     (1910.07467)

    Args:
        num: N, how many networks.
        size: H, features per state.
    """

    def __init__(self, num: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num, 1, size))

    def forward(self, x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
        """Returns the normalised features."""
        x = x.float()
        return x * (x.square().mean(dim=-1, keepdim=True) + 1e-6).rsqrt() * self.weight

    @torch.no_grad()
    def project_(self) -> None:
        """Scales the gain to length √H."""
        length = self.weight.norm(dim=-1, keepdim=True).clamp(min=1e-8)
        self.weight.mul_(self.weight.shape[-1] ** 0.5 / length)


class Scaler(nn.Module):
    """Multiplies each feature by a learned number that starts at `first`     (SimbaV2, 2502.15280 eq. 8)

    The parameter starts at `scale` and is multiplied by first / scale, so `scale` sets how fast it learns.

    Args:
        num: N, how many networks.
        size: H, features per state.
        first: initial factor.
        scale: initial value of the parameter.
    """

    def __init__(self, num: int, size: int, first: float, scale: float) -> None:
        super().__init__()
        self.factor = first / scale
        self.scale = nn.Parameter(torch.full((num, 1, size), scale))

    def forward(self, x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
        """Returns the scaled features."""
        return x * (self.scale * self.factor)


def unit_length(x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
    """Returns each state's features scaled to length 1."""
    return x * x.square().sum(dim=-1, keepdim=True).clamp(min=1e-16).rsqrt()
