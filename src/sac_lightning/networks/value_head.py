"""Value heads: what a critic's outputs mean as a value, and how they learn it.

Pessimism: how the values of N critics become one, against overestimation.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sac_lightning.algorithm import losses
from sac_lightning.core.errors import require
from sac_lightning.core.fields import Number, Whole
from sac_lightning.core.spec import Described
from sac_lightning.types import Alpha, Scalar, WeightedActions


class Pessimism(Described):
    """Reduces an ensemble of critics to one value, or to one distribution over returns.

    To add one, subclass this as a frozen dataclass whose fields are the options of its YAML file.
    """

    config_key: ClassVar[str] = "pessimism"

    @property
    def least_critics(self) -> int:
        """How many critics it needs."""
        return 1

    @property
    def num_sampled(self) -> int | None:
        """How many critics the target reads, drawn afresh for each update; None for all."""
        return None

    @property
    def least_quantiles(self) -> int:
        """How many quantiles it needs of each critic, 0 if it needs none."""
        return 0

    @abstractmethod
    def value(self, q: Float[Tensor, "N *q"]) -> Float[Tensor, "*q"]:
        """Returns one value from those of N critics."""

    def target_value(self, q: Float[Tensor, "N *q"]) -> Float[Tensor, "*q"]:
        """Returns one value for the critics' target; without an override as `value`."""
        return self.value(q)

    @abstractmethod
    def distribution(
        self, q: Float[Tensor, "N K B"], mass: Float[Tensor, "N K B F"]
    ) -> Float[Tensor, "K B F"]:
        """Returns one distribution from those of N critics, whose means are `q`."""

    def atoms(self, q: Float[Tensor, "N K B"], atoms: Float[Tensor, "N K B F"]) -> Float[Tensor, "K B M"]:
        """Returns M equally likely returns from the quantiles of N critics, whose means are `q`.

        Without an override as `distribution`, with quantiles in place of masses.
        """
        return self.distribution(q, atoms)


@dataclass(frozen=True)
class Min(Pessimism):
    """Takes the lowest critic: clipped double Q     (1802.09477)."""

    least_critics: ClassVar[int] = 2

    def value(self, q: Float[Tensor, "N *q"]) -> Float[Tensor, "*q"]:
        return q.amin(dim=0)

    def distribution(
        self, q: Float[Tensor, "N K B"], mass: Float[Tensor, "N K B F"]
    ) -> Float[Tensor, "K B F"]:
        lowest = q.argmin(dim=0)[None, ..., None].expand(-1, -1, -1, mass.shape[-1])
        return mass.gather(0, lowest).squeeze(0)


@dataclass(frozen=True)
class Mean(Pessimism):
    """Takes the mean of all critics: no pessimism (for discrete actions: 2209.10081)."""

    def value(self, q: Float[Tensor, "N *q"]) -> Float[Tensor, "*q"]:
        return q.mean(dim=0)

    def distribution(
        self, q: Float[Tensor, "N K B"], mass: Float[Tensor, "N K B F"]
    ) -> Float[Tensor, "K B F"]:
        return mass.mean(dim=0)


@dataclass(frozen=True)
class RandomSubset(Mean):
    """Takes the lowest of M of N critics, drawn afresh for each update     (REDQ, 2101.05982)

    The critics' target uses it; the actor maximises the mean of all N. Published are N = 10, M = 2 and 20
    updates for each env step.

    Args:
        subset: M, at least 1 and at most critic.num_critics.
    """

    subset: Annotated[int, Whole("[1, inf)")] = 2

    @property
    def least_critics(self) -> int:
        return self.subset

    @property
    def num_sampled(self) -> int:
        return self.subset

    def target_value(self, q: Float[Tensor, "M *q"]) -> Float[Tensor, "*q"]:
        return Min().value(q)

    def distribution(
        self, q: Float[Tensor, "M K B"], mass: Float[Tensor, "M K B F"]
    ) -> Float[Tensor, "K B F"]:
        return Min().distribution(q, mass)


class ValueHead(Described):
    """Interprets the F outputs of a critic for one action.

    To add one, subclass this as a frozen dataclass whose fields are the options of its YAML file.
    """

    config_key: ClassVar[str] = "value_head"

    @property
    def num_quantiles(self) -> int:
        """How many of the outputs are quantiles of the return, 0 if they are none."""
        return 0

    @property
    @abstractmethod
    def feature_size(self) -> int:
        """F, outputs of each critic per action."""

    @abstractmethod
    def mean(self, features: Float[Tensor, "*q F"]) -> Float[Tensor, "*q"]:
        """Returns Q, the expected return that the outputs stand for."""

    @abstractmethod
    def target(
        self,
        reward: Float[Tensor, " B"],
        discount: Float[Tensor, " B"],
        next_features: Float[Tensor, "N K B F"],
        next_actions: WeightedActions,
        alpha: Alpha,
        pessimism: Pessimism,
    ) -> Tensor:
        """Returns what the critics learn for reward + discount · V(next_obs), without gradient: [B, ...].

        Args:
            reward: [B].
            discount: [B], γ(1 − terminated) for one step.
            next_features: outputs of N (target) critics for the K actions of the policy at next_obs.
            next_actions: these K actions with their weights and log-densities.
            alpha: temperature of the entropy bonus in the target.
            pessimism: how N critics become one.
        """

    @abstractmethod
    def loss(self, features: Float[Tensor, "N B F"], target: Tensor, weight: Float[Tensor, " B"]) -> Scalar:
        """Returns the loss of the outputs for the stored actions, summed over the N critics."""

    @abstractmethod
    def target_mean(self, target: Tensor) -> Float[Tensor, " B"]:
        """Returns the expected return that `target` stands for."""


@dataclass(frozen=True)
class ScalarValue(ValueHead):
    """One output per action, Q itself, learned by squared error     (1812.05905 eq. 5)."""

    feature_size: ClassVar[int] = 1

    def mean(self, features: Float[Tensor, "*q 1"]) -> Float[Tensor, "*q"]:
        return features.squeeze(-1)

    def target(
        self,
        reward: Float[Tensor, " B"],
        discount: Float[Tensor, " B"],
        next_features: Float[Tensor, "N K B F"],
        next_actions: WeightedActions,
        alpha: Alpha,
        pessimism: Pessimism,
    ) -> Float[Tensor, " B"]:
        q = pessimism.target_value(next_features.squeeze(-1))
        return losses.critic_target(reward, discount, losses.soft_value(q, next_actions, alpha))

    loss = staticmethod(losses.critic_loss)

    def target_mean(self, target: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        return target


@dataclass(frozen=True)
class ScalarHuber(ScalarValue):
    """One output per action, Q itself, learned by the Huber loss: large errors count linearly.

    Args:
        delta: the error from which on they do, above 0.
    """

    delta: Annotated[float, Number("(0, 1e9]")] = 1.0

    def loss(
        self, features: Float[Tensor, "N B 1"], target: Float[Tensor, " B"], weight: Float[Tensor, " B"]
    ) -> Scalar:
        return losses.huber_critic_loss(features, target, weight, self.delta)


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

    def mean(self, features: Float[Tensor, "*q F"]) -> Float[Tensor, "*q"]:
        return (torch.softmax(features, dim=-1) * self._support(features.device)).sum(-1)

    def target(
        self,
        reward: Float[Tensor, " B"],
        discount: Float[Tensor, " B"],
        next_features: Float[Tensor, "N K B F"],
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
        width = (self.high - self.low) / (self.bins - 1)
        place = ((points - self.low) / width).clamp(0.0, self.bins - 1.0)
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
