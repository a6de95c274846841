"""Value heads: what a critic's outputs mean as a value, and how they learn it.

Pessimism: how the values of N critics become one, against overestimation.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxtyping import Float
from torch import Tensor

from sac_lightning.algorithm import losses
from sac_lightning.core.fields import Number, Whole
from sac_lightning.core.spec import Described
from sac_lightning.types import Alpha, Scalar, WeightedActions

PerCritic = Float[Tensor, "N K B F"]  # outputs of N critics, or masses, for K actions in B states


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
    def distribution(self, q: Float[Tensor, "N K B"], mass: PerCritic) -> Float[Tensor, "K B F"]:
        """Returns one distribution from those of N critics, whose means are `q`."""

    def atoms(self, q: Float[Tensor, "N K B"], atoms: PerCritic) -> Float[Tensor, "K B M"]:
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

    def distribution(self, q: Float[Tensor, "N K B"], mass: PerCritic) -> Float[Tensor, "K B F"]:
        lowest = q.argmin(dim=0)[None, ..., None].expand(-1, -1, -1, mass.shape[-1])
        return mass.gather(0, lowest).squeeze(0)


@dataclass(frozen=True)
class Mean(Pessimism):
    """Takes the mean of all critics: no pessimism (for discrete actions: 2209.10081)."""

    def value(self, q: Float[Tensor, "N *q"]) -> Float[Tensor, "*q"]:
        return q.mean(dim=0)

    def distribution(self, q: Float[Tensor, "N K B"], mass: PerCritic) -> Float[Tensor, "K B F"]:
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

    def distribution(self, q: Float[Tensor, "M K B"], mass: PerCritic) -> Float[Tensor, "K B F"]:
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

    def target(
        self,
        reward: Float[Tensor, " B"],
        discount: Float[Tensor, " B"],
        next_features: PerCritic,
        next_actions: WeightedActions,
        alpha: Alpha,
        pessimism: Pessimism,
    ) -> Tensor:
        """Returns what the critics learn for reward + discount · V(next_obs), without gradient: [B, ...].

        Without an override it is what `encode` makes of this number.

        Args:
            reward: [B].
            discount: [B], γ(1 − terminated) for one step.
            next_features: outputs of N (target) critics for the K actions of the policy at next_obs.
            next_actions: these K actions with their weights and log-densities.
            alpha: temperature of the entropy bonus in the target.
            pessimism: how N critics become one.
        """
        q = pessimism.target_value(self.mean(next_features))
        return self.encode(losses.critic_target(reward, discount, losses.soft_value(q, next_actions, alpha)))

    def encode(self, y: Float[Tensor, " B"]) -> Tensor:
        """Returns what the critics learn for an expected return y; without an override y itself."""
        return y

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
