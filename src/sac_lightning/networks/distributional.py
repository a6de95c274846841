"""Value heads that learn a distribution: on bins, or as quantiles with their pessimism."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from sac_lightning.algorithm import losses
from sac_lightning.core.errors import require
from sac_lightning.core.fields import Number, Whole
from sac_lightning.networks.value_head import Mean, PerCritic, Pessimism, ValueHead
from sac_lightning.types import Alpha, Scalar, WeightedActions


@dataclass(frozen=True)
class CategoricalValue(ValueHead):
    """A distribution over returns on fixed bins, learned by cross entropy     (C51, 1707.06887)

    The target distribution is that of reward + discount · (z − α log π), mixed over the policy's K actions
    and projected onto the bins: the mass of each point is split between its two neighbours. Pessimism chooses
    among the critics' distributions by their means.

    Args:
        low: return of the first bin, at least -1e9.
        high: return of the last bin, above `low` and at most 1e9.
        bins: F, how many bins, at least 2.
    """

    low: Annotated[float, Number("[-1e9, 1e9]")] = -5.0
    high: Annotated[float, Number("[-1e9, 1e9]")] = 5.0
    bins: Annotated[int, Whole("[2, inf)")] = 101

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = f"must be a number above value_head.low={self.low}"
        require(self.low < self.high, "value_head.high", self.high, allowed)

    @property
    def feature_size(self) -> int:
        return self.bins

    @property
    def width(self) -> float:
        """Distance of two bins."""
        return (self.high - self.low) / (self.bins - 1)

    def mean(self, features: Float[Tensor, "*q F"]) -> Float[Tensor, "*q"]:
        return (torch.softmax(features, dim=-1) * self._support(features.device)).sum(-1)

    def target(
        self,
        reward: Float[Tensor, " B"],
        discount: Float[Tensor, " B"],
        next_features: PerCritic,
        next_actions: WeightedActions,
        alpha: Alpha,
        pessimism: Pessimism,
    ) -> Float[Tensor, "B F"]:
        mass = pessimism.distribution(self.mean(next_features), torch.softmax(next_features, dim=-1))
        bonus = losses.weighted_log_prob(next_actions, alpha)[..., None]  # [K, B, 1]
        points = reward[:, None] + discount[:, None] * (self._support(reward.device) - bonus)  # [K, B, F]
        return self.project(points, mass * next_actions.weight[..., None])

    def project(self, points: Float[Tensor, "K B M"], mass: Float[Tensor, "K B M"]) -> Float[Tensor, "B F"]:
        """Returns the mass at `points` (clipped to [low, high]) split between the bins beside them."""
        place = ((points - self.low) / self.width).clamp(0.0, self.bins - 1.0)
        below = place.floor()
        share = place - below
        index = below.long()
        projected = torch.zeros(points.shape[1], self.bins, device=points.device)
        for k in range(len(points)):
            projected = projected.scatter_add(1, index[k], mass[k] * (1.0 - share[k]))
            above = (index[k] + 1).clamp(max=self.bins - 1)
            projected = projected.scatter_add(1, above, mass[k] * share[k])
        return projected

    def loss(
        self, features: Float[Tensor, "N B F"], target: Float[Tensor, "B F"], weight: Float[Tensor, " B"]
    ) -> Scalar:
        cross_entropy = -(target * torch.log_softmax(features, dim=-1)).sum(-1)  # [N, B]
        return (weight * cross_entropy).mean(dim=1).sum()

    def target_mean(self, target: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
        return (target * self._support(target.device)).sum(-1)

    def _support(self, device: torch.device) -> Float[Tensor, " F"]:
        return torch.linspace(self.low, self.high, self.bins, device=device)


@dataclass(frozen=True)
class HlGaussValue(CategoricalValue):
    """A value on fixed bins, learned by cross entropy with a Gaussian around the target     (2403.03950)

    Each bin's target is the integral over the bin of N(y, (sigma · bin width)²), with y = reward + discount ·
    V(next_obs) clipped to [low, high]; what lies outside of the bins is shared in proportion.

    Args:
        low: return of the first bin, at least -1e9.
        high: return of the last bin, above `low` and at most 1e9.
        bins: F, how many bins, at least 2.
        sigma: standard deviation in bin widths, above 0 and at most 100; 0.75 in the paper.
    """

    sigma: Annotated[float, Number("(0, 100]", "bin widths")] = 0.75
    target = ValueHead.target  # of the expected return alone

    def encode(self, y: Float[Tensor, " B"]) -> Float[Tensor, "B F"]:
        """Returns the mass of each bin for targets y."""
        y, half = y.clamp(self.low, self.high), self.width / 2
        edges = torch.linspace(self.low - half, self.high + half, self.bins + 1, device=y.device)  # [F + 1]
        below = torch.erf((edges - y[:, None]) / (self.sigma * self.width * math.sqrt(2.0)))
        mass = below[:, 1:] - below[:, :-1]
        return mass / (below[:, -1:] - below[:, :1])


@dataclass(frozen=True)
class QuantileValue(ValueHead):
    """The quantiles of the return at (2i + 1)/(2F), learned by the Huber quantile loss     (1710.10044)

    The target distribution is that of reward + discount · (z − α log π), mixed over the policy's K actions.
    With pessimism=truncated it is TQC (2005.04269). Deviation: the loss is summed over critics, as that of
    the other value heads; TQC takes the mean.

    Args:
        quantiles: F, outputs of each critic per action, at least 1; 25 in TQC.
    """

    quantiles: Annotated[int, Whole("[1, 10000]")] = 25

    @property
    def num_quantiles(self) -> int:
        return self.quantiles

    @property
    def feature_size(self) -> int:
        return self.quantiles

    def mean(self, features: Float[Tensor, "*q F"]) -> Float[Tensor, "*q"]:
        return features.mean(-1)

    def target(
        self,
        reward: Float[Tensor, " B"],
        discount: Float[Tensor, " B"],
        next_features: PerCritic,
        next_actions: WeightedActions,
        alpha: Alpha,
        pessimism: Pessimism,
    ) -> Float[Tensor, "B M 2"]:
        """Returns M weighted points of the target distribution: [..., 0] the points, [..., 1] their mass."""
        atoms = pessimism.atoms(self.mean(next_features), next_features)  # [K, B, M / K]
        bonus = losses.weighted_log_prob(next_actions, alpha)[..., None]  # [K, B, 1]
        points = reward[:, None] + discount[:, None] * (atoms - bonus)
        mass = (next_actions.weight[..., None] / atoms.shape[-1]).expand_as(points)
        return torch.stack((points, mass), dim=-1).transpose(0, 1).flatten(1, 2)

    def loss(
        self, features: Float[Tensor, "N B F"], target: Float[Tensor, "B M 2"], weight: Float[Tensor, " B"]
    ) -> Scalar:
        points, mass = target.unbind(-1)  # [B, M]
        error = points[:, None, :] - features[..., None]  # [N, B, F, M]
        size = error.abs()
        huber = torch.where(size <= 1.0, 0.5 * error.square(), size - 0.5)
        levels = (torch.arange(self.quantiles, device=features.device) + 0.5) / self.quantiles  # [F]
        tilted = (levels[:, None] - (error < 0.0).float()).abs() * huber
        per_state = (tilted * mass[:, None, :]).sum(-1).mean(-1)  # [N, B]
        return (weight * per_state).mean(dim=1).sum()

    def target_mean(self, target: Float[Tensor, "B M 2"]) -> Float[Tensor, " B"]:
        return target.prod(-1).sum(-1)


@dataclass(frozen=True)
class Truncated(Mean):
    """Drops the largest quantiles of all critics together     (TQC, 2005.04269)

    The critics' target uses the rest; the actor maximises the mean of all quantiles. Needs
    value_head=quantile.

    Args:
        drop: quantiles to drop for each critic, at least 0; 2 of 25 in the paper, 5 for Hopper.
    """

    drop: Annotated[int, Whole("[0, inf)")] = 2

    @property
    def least_quantiles(self) -> int:
        return self.drop + 1

    def distribution(self, q: Float[Tensor, "N K B"], mass: PerCritic) -> Float[Tensor, "K B F"]:
        """Raises TypeError: bins have no largest quantiles."""
        raise TypeError("Truncated needs quantiles: value_head=quantile")

    def atoms(self, q: Float[Tensor, "N K B"], atoms: PerCritic) -> Float[Tensor, "K B M"]:
        pooled = torch.cat(tuple(atoms), dim=-1).sort(dim=-1).values  # [K, B, N·F]
        return pooled[..., : pooled.shape[-1] - self.drop * len(atoms)]
