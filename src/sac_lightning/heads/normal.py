"""The head of unbounded boxes: a plain Gaussian whose entropy is known exactly."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from sac_lightning.heads.base import Interval
from sac_lightning.heads.gaussian import HALF_LOG_2PI_E, Gaussian, single_sample
from sac_lightning.spaces import ActionSpec, BoxAction
from sac_lightning.types import PolicyAtoms


@dataclass(frozen=True)
class Normal(Gaussian):
    """a = μ + σ ε; H = Σ ½ log(2πe σ²), reached for σ within its limits."""

    made_for: ClassVar[str] = "unbounded Box actions"

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return isinstance(action, BoxAction) and not action.bounded

    @property
    def entropy_interval(self) -> Interval:
        return Interval(
            self.size * (HALF_LOG_2PI_E + self.log_std_min),
            self.size * (HALF_LOG_2PI_E + self.log_std_max),
        )

    def atoms(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B A"]) -> PolicyAtoms:
        action, log_prob_dims = self.reparameterise(features, noise)
        return single_sample(action, log_prob_dims)

    def act(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        return self.unsquashed(features, noise)

    def log_prob(self, features: Float[Tensor, "B F"], action: Float[Tensor, "B A"]) -> Float[Tensor, " B"]:
        return self.gaussian_log_prob(features, action).sum(-1)

    def mode(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B A"]:
        return self.mean_and_log_std(features)[0]
