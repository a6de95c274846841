"""Heads of boxes: a Gaussian, squashed by tanh for bounded actions, plain for unbounded ones."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sac_lightning.core.errors import number, require
from sac_lightning.heads.base import ActionHead, Features, Interval
from sac_lightning.spaces import ActionSpec, BoxAction
from sac_lightning.types import Scalar, WeightedActions

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
HALF_LOG_2PI_E = 0.5 * math.log(2 * math.pi * math.e)
LOG_2 = math.log(2.0)
ALMOST_ONE = 1.0 - 1e-6
SATURATED = 0.97


@dataclass(frozen=True)
class Gaussian(ActionHead):
    """A diagonal N(μ(s), σ(s)²) over A dimensions.

    log σ is kept within [log_std_min, log_std_max] by a scaled tanh, not a hard clamp: a clamp has no
    gradient outside its ends, so a σ that once ran away could never come back.
    """

    has_independent_dims: ClassVar[bool] = True
    size: int
    log_std_min: float = LOG_STD_MIN
    log_std_max: float = LOG_STD_MAX

    def __post_init__(self) -> None:
        require(self.size >= 1, "size", self.size, "must be at least one action dimension")
        ok = -20.0 <= number(self.log_std_min) < number(self.log_std_max) <= 20.0
        allowed = f"a number in [-20, 20) below log_std_max={self.log_std_max}"
        require(ok, "log_std_min", self.log_std_min, allowed)

    @classmethod
    def sizes_for(cls, action: ActionSpec) -> dict[str, int]:
        assert isinstance(action, BoxAction)
        return {"size": action.size}

    @property
    def feature_size(self) -> int:
        return 2 * self.size

    @property
    def noise_size(self) -> int:
        return self.size

    @property
    def action_size(self) -> int:
        return self.size

    def mean_and_log_std(self, features: Features) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B A"]]:
        """μ and log σ of the Gaussian before any squashing."""
        mean, raw = features.chunk(2, dim=-1)
        half = 0.5 * (self.log_std_max - self.log_std_min)
        return mean, torch.tanh(raw) * half + (self.log_std_min + half)

    def reparameterise(
        self, features: Features, noise: Float[Tensor, "B A"]
    ) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B A"]]:
        """u = μ + σ ε and log N(u_d; μ_d, σ_d²) of each dimension.

        This is what `rsample` does: ε carries the chance, so u is a differentiable function of μ and σ.
        With u written as μ + σε the quadratic term is −½ε² whatever μ and σ are: only −log σ is left
        for the gradient of the density itself.
        """
        mean, log_std = self.mean_and_log_std(features)
        pre = torch.addcmul(mean, log_std.exp(), noise)
        return pre, -0.5 * noise.square() - log_std - HALF_LOG_2PI

    def gaussian_entropy(self, features: Features) -> Float[Tensor, " B"]:
        """Σ ½ log(2πe σ²): the exact entropy of u, before any squashing."""
        return (self.mean_and_log_std(features)[1] + HALF_LOG_2PI_E).sum(-1)

    def diagnostics(self, features: Features, actions: WeightedActions) -> dict[str, Scalar]:
        """σ, and the entropy ½log(2πeσ²) before any squashing."""
        sigma = self.mean_and_log_std(features)[1].exp().mean()
        return {"sigma": sigma, "entropy_gaussian": self.gaussian_entropy(features).mean()}

    def gaussian_log_prob(self, features: Features, pre: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        """log N(u_d; μ_d, σ_d²) of given u."""
        mean, log_std = self.mean_and_log_std(features)
        return -0.5 * ((pre - mean) * (-log_std).exp()).square() - log_std - HALF_LOG_2PI

    def unsquashed(self, features: Features, noise: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        """u = μ + σ ε."""
        mean, log_std = self.mean_and_log_std(features)
        return torch.addcmul(mean, log_std.exp(), noise)


def single_sample(action: Float[Tensor, "B A"], log_prob_dims: Float[Tensor, "B A"]) -> WeightedActions:
    """One action with weight 1, of independent dimensions."""
    log_prob = log_prob_dims.sum(-1)[None]  # [1, B]
    return WeightedActions(action[None], log_prob, torch.ones_like(log_prob), log_prob_dims[None])


@dataclass(frozen=True)
class TanhNormal(Gaussian):
    """a = tanh(μ + σ ε);  log π(a) = log N(u; μ, σ²) − Σ log(1 − tanh² u)     (1812.05905 appendix C)

    Its entropy has no closed form; −log π of the sample estimates it. It is at most A·log 2, the entropy
    of the uniform distribution on [-1, 1]^A, and has no lower end. ½log(2πeσ²) of the Gaussian before
    squashing is only an upper bound, which grows on with σ while the entropy falls.
    """

    action_space_name: ClassVar[str] = "bounded Box actions"

    @classmethod
    def supports(cls, action: ActionSpec) -> bool:
        return isinstance(action, BoxAction) and action.bounded

    @property
    def entropy_interval(self) -> Interval:
        return Interval(-math.inf, self.size * LOG_2)

    def weighted_actions(self, features: Features, noise: Float[Tensor, "B A"]) -> WeightedActions:
        pre, gaussian_log_prob = self.reparameterise(features, noise)
        return single_sample(torch.tanh(pre), gaussian_log_prob - log_one_minus_tanh_squared(pre))

    def act(self, features: Features, noise: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        return torch.tanh(self.unsquashed(features, noise))

    def log_prob(self, features: Features, action: Float[Tensor, "B A"]) -> Float[Tensor, " B"]:
        return self.log_prob_dims(features, action).sum(-1)

    def log_prob_dims(self, features: Features, action: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        """log π_d(a_d|s). An action that has rounded to ±1 is read as the largest one that has not quite."""
        pre = torch.atanh(action.clamp(-ALMOST_ONE, ALMOST_ONE))
        return self.gaussian_log_prob(features, pre) - log_one_minus_tanh_squared(pre)

    def diagnostics(self, features: Features, actions: WeightedActions) -> dict[str, Scalar]:
        """The Gaussian's, and the share of action dimensions beyond ±0.97, where tanh is nearly flat."""
        saturated = (actions.action.abs() > SATURATED).float().mean()
        return {**super().diagnostics(features, actions), "saturated": saturated}

    def mode(self, features: Features) -> Float[Tensor, "B A"]:
        """tanh(μ): the median of each dimension, the usual choice for evaluation."""
        return torch.tanh(self.mean_and_log_std(features)[0])


def log_one_minus_tanh_squared(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(1 − tanh² u) = 2 (log 2 − u − softplus(−2u)): finite where 1 − tanh² u has rounded to 0."""
    return 2.0 * (LOG_2 - u - F.softplus(-2.0 * u))


@dataclass(frozen=True)
class Normal(Gaussian):
    """a = μ + σ ε; H = Σ ½ log(2πe σ²), reached for σ within its limits."""

    action_space_name: ClassVar[str] = "unbounded Box actions"

    @classmethod
    def supports(cls, action: ActionSpec) -> bool:
        return isinstance(action, BoxAction) and not action.bounded

    @property
    def entropy_interval(self) -> Interval:
        low, high = HALF_LOG_2PI_E + self.log_std_min, HALF_LOG_2PI_E + self.log_std_max
        return Interval(self.size * low, self.size * high)

    def weighted_actions(self, features: Features, noise: Float[Tensor, "B A"]) -> WeightedActions:
        action, log_prob_dims = self.reparameterise(features, noise)
        return single_sample(action, log_prob_dims)

    def act(self, features: Features, noise: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        return self.unsquashed(features, noise)

    def log_prob(self, features: Features, action: Float[Tensor, "B A"]) -> Float[Tensor, " B"]:
        return self.gaussian_log_prob(features, action).sum(-1)

    def mode(self, features: Features) -> Float[Tensor, "B A"]:
        return self.mean_and_log_std(features)[0]
