"""What the Gaussian heads share: μ and σ from features, the reparameterised sample, its density."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sac_lightning.errors import number, require
from sac_lightning.heads.base import ActionHead
from sac_lightning.spaces import ActionSpec, BoxAction
from sac_lightning.types import PolicyAtoms, Scalar

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
HALF_LOG_2PI_E = 0.5 * math.log(2 * math.pi * math.e)


@dataclass(frozen=True)
class Gaussian(ActionHead):
    """A diagonal N(μ(s), σ(s)²) over A dimensions.

    log σ is kept within [log_std_min, log_std_max] by a scaled tanh, not a hard clamp: a clamp has no
    gradient outside its ends, so a σ that once ran away could never come back.
    """

    independent_dims: ClassVar[bool] = True
    size: int
    log_std_min: float = LOG_STD_MIN
    log_std_max: float = LOG_STD_MAX

    def __post_init__(self) -> None:
        require(self.size >= 1, "size", self.size, "must be at least one action dimension")
        require(
            -20.0 <= number(self.log_std_min) < number(self.log_std_max) <= 20.0,
            "log_std_min",
            self.log_std_min,
            f"a number in [-20, 20) below log_std_max={self.log_std_max}",
        )

    @classmethod
    def sized(cls, action: ActionSpec) -> dict[str, int]:
        assert isinstance(action, BoxAction)
        return {"size": action.size}

    @property
    def feature_size(self) -> int:
        return 2 * self.size

    @property
    def noise_size(self) -> int:
        return self.size

    @property
    def num_actions(self) -> None:
        return None

    @property
    def action_size(self) -> int:
        return self.size

    def mean_and_log_std(
        self, features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B A"]]:
        """μ and log σ of the Gaussian before any squashing."""
        mean, raw = features.chunk(2, dim=-1)
        half = 0.5 * (self.log_std_max - self.log_std_min)
        return mean, torch.tanh(raw) * half + (self.log_std_min + half)

    def reparameterise(
        self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B A"]
    ) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B A"]]:
        """u = μ + σ ε and log N(u_d; μ_d, σ_d²) of each dimension.

        This is what `rsample` does: ε carries the chance, so u is a differentiable function of μ and σ.
        With u written as μ + σε the quadratic term is −½ε² whatever μ and σ are: only −log σ is left
        for the gradient of the density itself.
        """
        mean, log_std = self.mean_and_log_std(features)
        pre = torch.addcmul(mean, log_std.exp(), noise)
        return pre, -0.5 * noise.square() - log_std - HALF_LOG_2PI

    def gaussian_entropy(self, features: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
        """Σ ½ log(2πe σ²): the exact entropy of u, before any squashing."""
        return (self.mean_and_log_std(features)[1] + HALF_LOG_2PI_E).sum(-1)

    def facts(self, features: Float[Tensor, "B F"], atoms: PolicyAtoms) -> dict[str, Scalar]:
        """σ, and the entropy ½log(2πeσ²) before any squashing."""
        sigma = self.mean_and_log_std(features)[1].exp().mean()
        return {"sigma": sigma, "entropy_gaussian": self.gaussian_entropy(features).mean()}

    def gaussian_log_prob(
        self, features: Float[Tensor, "B F"], pre: Float[Tensor, "B A"]
    ) -> Float[Tensor, "B A"]:
        """log N(u_d; μ_d, σ_d²) of given u."""
        mean, log_std = self.mean_and_log_std(features)
        return -0.5 * ((pre - mean) * (-log_std).exp()).square() - log_std - HALF_LOG_2PI

    def unsquashed(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        """u = μ + σ ε."""
        mean, log_std = self.mean_and_log_std(features)
        return torch.addcmul(mean, log_std.exp(), noise)


def single_sample(action: Float[Tensor, "B A"], log_prob_dims: Float[Tensor, "B A"]) -> PolicyAtoms:
    """One action with weight 1, of independent dimensions."""
    log_prob = log_prob_dims.sum(-1)[None]  # [1, B]
    return PolicyAtoms(action[None], log_prob, torch.ones_like(log_prob), log_prob_dims[None])
