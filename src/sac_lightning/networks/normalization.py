"""Normalisation of observations and rewards, with running statistics that are part of the model.

Transitions are stored raw and normalised when they are used, so training, evaluation, resume and export
read the same statistics.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sac_lightning.core.fields import Number
from sac_lightning.core.ranks import Ranks
from sac_lightning.core.spec import Described
from sac_lightning.spaces import ObsSpec


class RunningStatistics(nn.Module):
    """Keeps mean and variance of everything seen so far, by Chan's parallel algorithm in float64."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("var", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def add(self, values: Shaped[Tensor, "M *shape"], ranks: Ranks | None = None) -> None:
        """Adds M values, and those of all other `ranks`, in their order."""
        new = values.double()
        if not len(new):  # of a rank whose envs were all being reset
            new = new.new_zeros(1, *self.mean.shape)
        var, mean = torch.var_mean(new, dim=0, correction=0)
        if ranks is None:
            self._merge(len(values), mean, var)
            return
        size = self.mean.numel()
        row = torch.cat([torch.full_like(self.count, len(values)).view(1), mean.flatten(), var.flatten()])
        for each in ranks.rows(row):
            count, mean, var = torch.split(each, [1, size, size])
            self._merge(count.squeeze(), mean.view_as(self.mean), var.view_as(self.var))

    def _merge(self, count: int | Tensor, mean: Tensor, var: Tensor) -> None:
        total = self.count + count
        away, share = mean - self.mean, count / total
        between = away.square() * share * (1 - share)
        self.var.copy_((1 - share) * self.var * (self.count > 0) + share * var + between)
        self.mean.add_(away * share)
        self.count.copy_(total)


class ReturnStatistics(RunningStatistics):
    """Keeps the largest |value| as well."""

    largest: Tensor

    def __init__(self) -> None:
        super().__init__(())
        self.register_buffer("largest", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def add(self, values: Shaped[Tensor, " M"], ranks: Ranks | None = None) -> None:
        super().add(values, ranks)
        largest = torch.cat([values.double().abs(), self.largest.view(1)]).amax()
        self.largest.copy_(largest if ranks is None else torch.stack(ranks.rows(largest)).amax())


class ObsNormalization(Described):
    """Says how observations are normalised. Frozen dataclass; `build` returns the module with statistics."""

    config_key: ClassVar[str] = "normalization.obs"
    # Whether nothing is normalised, so that there are no statistics.
    is_raw: ClassVar[bool] = False

    @abstractmethod
    def build(self, obs: ObsSpec) -> "NormalizedObs | None":
        """Returns the module for `obs`, or None for raw observations."""


@dataclass(frozen=True)
class RawObs(ObsNormalization):
    """Leaves observations as they are."""

    is_raw: ClassVar[bool] = True

    def build(self, obs: ObsSpec) -> None:
        return None


@dataclass(frozen=True)
class RunningObs(ObsNormalization):
    """(obs − mean) / √(var + eps), clipped, with running statistics of all observations of training.

    Choices and masks stay as they are.

    Args:
        clip: largest absolute value of a normalised number, above 0.
        eps: added to the variance, above 0.
    """

    clip: Annotated[float, Number("(0, 1e9)")] = 10.0
    eps: Annotated[float, Number("(0, 1e9)")] = 1e-8

    def build(self, obs: ObsSpec) -> "NormalizedObs":
        return NormalizedObs(self, obs)


class NormalizedObs(nn.Module):
    """The module of `RunningObs`."""

    def __init__(self, config: RunningObs, obs: ObsSpec) -> None:
        super().__init__()
        self._clip, self._eps = config.clip, config.eps
        self.statistics = RunningStatistics(obs.shape)
        self._parts = obs.parts if not all(part.is_number for part in obs.parts) else ()

    def forward(self, obs: Shaped[Tensor, "B *obs"]) -> Float[Tensor, "B *obs"]:
        """Returns normalised observations, float32."""
        scale = (self.statistics.var + self._eps).rsqrt()
        normalized = ((obs - self.statistics.mean) * scale).clamp(-self._clip, self._clip).float()
        if not self._parts:
            return normalized
        sizes = [part.size for part in self._parts]
        rows = zip(self._parts, torch.split(obs, sizes, -1), torch.split(normalized, sizes, -1), strict=True)
        return torch.cat([row if part.is_number else raw.float() for part, raw, row in rows], dim=-1)


class RewardNormalization(Described):
    """Says how rewards are normalised. Frozen dataclass; `build` returns the module with statistics."""

    config_key: ClassVar[str] = "normalization.reward"
    is_raw: ClassVar[bool] = False

    @abstractmethod
    def build(self) -> "ScaledReward | None":
        """Returns the module, or None for raw rewards."""


@dataclass(frozen=True)
class RawReward(RewardNormalization):
    """Leaves rewards as they are."""

    is_raw: ClassVar[bool] = True

    def build(self) -> None:
        return None


@dataclass(frozen=True)
class ReturnVariance(RewardNormalization):
    """Divides rewards by √(Var[G] + eps), G the discounted return so far of each training episode.

    With `g_max` by the larger one of this and max |G| / g_max: no return seen so far is then above g_max,
    which keeps them on the bins of a categorical value head     (SimbaV2 2502.15280, FlashSAC 2604.04539).

    Args:
        eps: added to the variance, above 0.
        g_max: the bound on scaled returns, above 0; None for none, as in XQC.
    """

    eps: Annotated[float, Number("(0, 1e9)")] = 1e-8
    g_max: Annotated[float | None, Number("(0, 1e9)")] = None

    def build(self) -> "ScaledReward":
        return ScaledReward(self)


class ScaledReward(nn.Module):
    """The module of `ReturnVariance`."""

    def __init__(self, config: ReturnVariance) -> None:
        super().__init__()
        self._eps, self._g_max = config.eps, config.g_max
        self.statistics = ReturnStatistics()

    def forward(self, reward: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Returns scaled rewards."""
        scale = (self.statistics.var + self._eps).sqrt()
        if self._g_max is not None:
            scale = torch.maximum(scale, self.statistics.largest / self._g_max)
        return (reward / scale).float()
