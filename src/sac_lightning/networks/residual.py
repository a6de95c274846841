"""Torsos with residual blocks: SimBa, SimbaV2 and FlashSAC.

`hidden_sizes` gives one width per block, all of them equal: [256, 256] is two blocks of width 256.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from sac_lightning.core.errors import require
from sac_lightning.core.fields import Number
from sac_lightning.networks.ensemble import EnsembleLayerNorm, EnsembleLinear
from sac_lightning.networks.torso import Torso
from sac_lightning.networks.unit_norm import ScaledBatchNorm, ScaledRMSNorm, Scaler, UnitLinear, unit_length

EXPANSION = 4  # width inside a block, in widths of the block


class Residual(Torso):
    """Base class of torsos with blocks of one width."""

    def check_sizes(self, hidden_sizes: Sequence[int]) -> None:
        allowed = "must be equal numbers, one for each residual block, for this torso"
        require(len({*hidden_sizes}) == 1, "hidden_sizes", list(hidden_sizes), allowed)


@dataclass(frozen=True)
class Simba(Residual):
    """Residual blocks x + W₂ ReLU(W₁ LN(x)) after a linear layer, LayerNorm at the end     (2410.09754)

    Best with normalization/obs=running, as published.
    """

    def build(self, num: int, size_in: int, hidden_sizes: Sequence[int], generator: Generator) -> nn.Module:
        width = hidden_sizes[0]
        first = EnsembleLinear(num, size_in, width, generator)
        blocks = [_SimbaBlock(num, width, generator) for _ in hidden_sizes]
        return nn.Sequential(first, *blocks, EnsembleLayerNorm(num, width))


class _SimbaBlock(nn.Module):
    def __init__(self, num: int, width: int, generator: Generator) -> None:
        super().__init__()
        self.norm = EnsembleLayerNorm(num, width)
        self.up = EnsembleLinear(num, width, EXPANSION * width, generator)
        self.down = EnsembleLinear(num, EXPANSION * width, width, generator)

    def forward(self, x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
        inner: Tensor = self.down(torch.relu_(self.up(self.norm(x))))
        return x + inner


@dataclass(frozen=True)
class SimbaV2(Residual):
    """Features and weights of length 1, residuals by interpolation: x ← ‖x + a (MLP(x) − x)‖     (2502.15280)

    Deviation: mean and deviation of a Gaussian head share the last hidden layer; published are two.
    Best with normalization/obs=running, normalization/reward=return_variance and value_head=categorical.

    Args:
        shift: constant that is appended to the input, so that its length is not lost; above 0.
    """

    shift: Annotated[float, Number("(0, 1e9]")] = 3.0

    def build(self, num: int, size_in: int, hidden_sizes: Sequence[int], generator: Generator) -> nn.Module:
        return _Hypersphere(num, size_in, hidden_sizes[0], len(hidden_sizes), self.shift, generator)

    def build_output(self, num: int, size_in: int, size_out: int, generator: Generator) -> EnsembleLinear:
        return UnitLinear(num, size_in, size_out, generator, bias=True)


class _Hypersphere(nn.Module):
    def __init__(
        self, num: int, size_in: int, width: int, blocks: int, shift: float, generator: Generator
    ) -> None:
        super().__init__()
        self.shift = shift
        first = math.sqrt(2.0 / width)
        self.embed = UnitLinear(num, size_in + 1, width, generator)
        self.embed_scaler = Scaler(num, width, first, first)
        self.blocks = nn.ModuleList(_SphereBlock(num, width, blocks, generator) for _ in range(blocks))
        self.last = UnitLinear(num, width, width, generator)
        self.last_scaler = Scaler(num, width, 1.0, 1.0)

    def forward(self, x: Float[Tensor, "N B I"]) -> Float[Tensor, "N B H"]:
        x = unit_length(F.pad(x, (0, 1), value=self.shift))
        x = unit_length(self.embed_scaler(self.embed(x)))
        for block in self.blocks:
            x = block(x)
        scaled: Tensor = self.last_scaler(self.last(x))
        return scaled


class _SphereBlock(nn.Module):
    def __init__(self, num: int, width: int, blocks: int, generator: Generator) -> None:
        super().__init__()
        first = math.sqrt(2.0 / (EXPANSION * width))
        self.up = UnitLinear(num, width, EXPANSION * width, generator)
        self.up_scaler = Scaler(num, EXPANSION * width, first, first)
        self.down = UnitLinear(num, EXPANSION * width, width, generator)
        self.step = Scaler(num, width, 1.0 / (blocks + 1), 1.0 / math.sqrt(width))

    def forward(self, x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
        inner = torch.relu(self.up_scaler(self.up(x))) + 1e-8  # a vector of zeros has no direction
        return unit_length(x + self.step(unit_length(self.down(inner)) - x))


@dataclass(frozen=True)
class Flash(Residual):
    """Inverted residual blocks with BatchNorm and weights of length 1     (FlashSAC, 2604.04539)

    BatchNorm of the input, a linear layer, blocks x + ReLU(BN(W₂ ReLU(BN(W₁ x)))), RMSNorm.

    Deviation: an actor's BatchNorm sees the states of the batch; published is the joint batch with the next
    states. Best with target_network=joint_polyak and value_head=categorical.

    Args:
        momentum: share of the old running statistics that each update keeps, in [0, 1).
        eps: added to the variance, above 0.
    """

    has_batch_statistics: ClassVar[bool] = True
    momentum: Annotated[float, Number("[0, 1)")] = 0.99
    eps: Annotated[float, Number("(0, 1)")] = 1e-5

    def build(self, num: int, size_in: int, hidden_sizes: Sequence[int], generator: Generator) -> nn.Module:
        width = hidden_sizes[0]
        blocks = [_FlashBlock(self, num, width, generator) for _ in hidden_sizes]
        first = self.norm(num, size_in), UnitLinear(num, size_in, width, generator)
        return nn.Sequential(*first, *blocks, ScaledRMSNorm(num, width))

    def norm(self, num: int, size: int) -> ScaledBatchNorm:
        """Returns the normalisation of `size` features."""
        return ScaledBatchNorm(num, size, self.momentum, self.eps)


class _FlashBlock(nn.Module):
    def __init__(self, torso: Flash, num: int, width: int, generator: Generator) -> None:
        super().__init__()
        self.up = UnitLinear(num, width, EXPANSION * width, generator)
        self.up_norm = torso.norm(num, EXPANSION * width)
        self.down = UnitLinear(num, EXPANSION * width, width, generator)
        self.down_norm = torso.norm(num, width)

    def forward(self, x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
        inner = torch.relu(self.up_norm(self.up(x)))
        return x + torch.relu(self.down_norm(self.down(inner)))
