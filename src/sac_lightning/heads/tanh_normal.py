"""The head of bounded boxes: a Gaussian squashed by tanh into the unit action box."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sac_lightning.heads.base import Interval
from sac_lightning.heads.gaussian import Gaussian, single_sample
from sac_lightning.spaces import ActionSpec, BoxAction
from sac_lightning.types import PolicyAtoms, Scalar

LOG_2 = math.log(2.0)
ALMOST_ONE = 1.0 - 1e-6
SATURATED = 0.97


@dataclass(frozen=True)
class TanhNormal(Gaussian):
    """a = tanh(μ + σ ε);  log π(a) = log N(u; μ, σ²) − Σ log(1 − tanh² u)     (1812.05905 appendix C)

    Its entropy has no closed form; −log π of the sample estimates it. It is at most A·log 2, the entropy
    of the uniform distribution on [-1, 1]^A, and has no lower end. ½log(2πeσ²) of the Gaussian before
    squashing is only an upper bound, which grows on with σ while the entropy falls.
    """

    made_for: ClassVar[str] = "bounded Box actions"

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return isinstance(action, BoxAction) and action.bounded

    @property
    def entropy_interval(self) -> Interval:
        return Interval(-math.inf, self.size * LOG_2)

    def atoms(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B A"]) -> PolicyAtoms:
        pre, gaussian_log_prob = self.reparameterise(features, noise)
        return single_sample(torch.tanh(pre), gaussian_log_prob - log_one_minus_tanh_squared(pre))

    def act(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        return torch.tanh(self.unsquashed(features, noise))

    def log_prob(self, features: Float[Tensor, "B F"], action: Float[Tensor, "B A"]) -> Float[Tensor, " B"]:
        return self.log_prob_dims(features, action).sum(-1)

    def log_prob_dims(
        self, features: Float[Tensor, "B F"], action: Float[Tensor, "B A"]
    ) -> Float[Tensor, "B A"]:
        """log π_d(a_d|s). An action that has rounded to ±1 is read as the largest one that has not quite."""
        pre = torch.atanh(action.clamp(-ALMOST_ONE, ALMOST_ONE))
        return self.gaussian_log_prob(features, pre) - log_one_minus_tanh_squared(pre)

    def facts(self, features: Float[Tensor, "B F"], atoms: PolicyAtoms) -> dict[str, Scalar]:
        """The Gaussian's, and the share of action dimensions beyond ±0.97, where tanh is nearly flat."""
        saturated = (atoms.action.abs() > SATURATED).float().mean()
        return {**super().facts(features, atoms), "saturated": saturated}

    def mode(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B A"]:
        """tanh(μ): the median of each dimension, the usual choice for evaluation."""
        return torch.tanh(self.mean_and_log_std(features)[0])


def log_one_minus_tanh_squared(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(1 − tanh² u) = 2 (log 2 − u − softplus(−2u)): finite where 1 − tanh² u has rounded to 0."""
    return 2.0 * (LOG_2 - u - F.softplus(-2.0 * u))
