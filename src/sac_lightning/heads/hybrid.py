"""The head of a choice together with numbers: all choices at once, each with a sample of its numbers."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sac_lightning.core.errors import require
from sac_lightning.heads.base import ActionHead, Features, Interval
from sac_lightning.heads.discrete import gumbel_argmax, one_hot
from sac_lightning.heads.gaussian import LOG_2, LOG_STD_MAX, LOG_STD_MIN, TanhNormal
from sac_lightning.spaces import ActionSpec, HybridAction
from sac_lightning.types import Scalar, WeightedActions


@dataclass(frozen=True)
class Hybrid(ActionHead):
    """π(k, x|s) = π(k|s) · N_tanh(x; μ_k(s), σ_k(s)): the numbers depend on the choice.

    The weighted actions are the n choices, weighted by π(k|s), each with one reparameterised sample of its
    numbers: exact in the choice, a sample in the numbers, as in 1912.11077. The gradient reaches the actor
    through both.
    An action is `[n + A]`, the choice's one-hot vector and the numbers, which the critic reads.
    """

    action_space_name: ClassVar[str] = "Tuple or Dict actions of one Discrete and bounded Boxes"
    n: int
    size: int
    log_std_min: float = LOG_STD_MIN
    log_std_max: float = LOG_STD_MAX

    def __post_init__(self) -> None:
        require(self.n >= 2, "n", self.n, "a choice needs at least two actions")
        TanhNormal(self.size, self.log_std_min, self.log_std_max)  # refuses what it cannot take

    @classmethod
    def supports(cls, action: ActionSpec) -> bool:
        return isinstance(action, HybridAction)

    @classmethod
    def sizes_for(cls, action: ActionSpec) -> dict[str, Any]:
        assert isinstance(action, HybridAction)
        return {"n": action.n, "size": action.numbers.size}

    @property
    def continuous(self) -> TanhNormal:
        """The head of the numbers of all choices, side by side."""
        return TanhNormal(self.n * self.size, self.log_std_min, self.log_std_max)

    @property
    def feature_size(self) -> int:
        return self.n + self.continuous.feature_size

    @property
    def noise_size(self) -> int:
        return self.n * self.size

    @property
    def action_size(self) -> int:
        return self.n + self.size

    @property
    def num_discrete(self) -> int:
        return self.n

    @property
    def num_continuous(self) -> int:
        return self.size

    @property
    def entropy_interval(self) -> Interval:
        return Interval(-math.inf, math.log(self.n) + self.size * LOG_2)

    def weighted_actions(self, features: Features, noise: Float[Tensor, "B M"]) -> WeightedActions:
        choice = torch.log_softmax(features[:, : self.n], dim=-1).T  # [K, B]
        sample = self.continuous.weighted_actions(features[:, self.n :], noise)
        assert sample.log_prob_dims is not None
        numbers = self._by_choice(sample.action[0])  # [K, B, A]
        density = self._by_choice(sample.log_prob_dims[0]).sum(-1)
        every = torch.eye(self.n, device=features.device)[:, None, :].expand(-1, features.shape[0], -1)
        return WeightedActions(torch.cat((every, numbers), dim=-1), choice + density, choice.exp())

    def act(self, features: Features, noise: Float[Tensor, "B M"]) -> Float[Tensor, "B A"]:
        numbers = self.continuous.act(features[:, self.n :], noise[:, self.n :])
        return self._of_choice(gumbel_argmax(features[:, : self.n], noise[:, : self.n]), numbers)

    def draw_acting_noise(
        self, states: int, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "B M"]:
        """Uniform for the choice, standard normal for the numbers."""
        choice = torch.rand(states, self.n, generator=generator, device=device)
        numbers = self.continuous.draw_acting_noise(states, generator, device)
        return torch.cat((choice, numbers), dim=-1)

    def log_prob(self, features: Features, action: Float[Tensor, "B A"]) -> Float[Tensor, " B"]:
        choice, numbers = action[:, : self.n], action[:, self.n :]
        dims = self.continuous.log_prob_dims(features[:, self.n :], numbers.repeat(1, self.n))
        density = self._by_choice(dims).sum(-1).T  # [B, n]
        return ((torch.log_softmax(features[:, : self.n], dim=-1) + density) * choice).sum(-1)

    def diagnostics(self, features: Features, actions: WeightedActions) -> dict[str, Scalar]:
        """The mean σ over all choices, and the entropy of the choice, which is exact."""
        log_prob = torch.log_softmax(features[:, : self.n], dim=-1)
        sigma = self.continuous.mean_and_log_std(features[:, self.n :])[1].exp().mean()
        return {"sigma": sigma, "entropy_choice": -(log_prob.exp() * log_prob).sum(-1).mean()}

    def mode(self, features: Features) -> Float[Tensor, "B A"]:
        """The most likely choice, and the median of its numbers."""
        choice = features[:, : self.n].argmax(dim=-1)
        return self._of_choice(choice, self.continuous.mode(features[:, self.n :]))

    def _by_choice(self, numbers: Float[Tensor, "B M"]) -> Float[Tensor, "K B A"]:
        return numbers.view(-1, self.n, self.size).movedim(1, 0)

    def _of_choice(self, choice: Tensor, numbers: Float[Tensor, "B M"]) -> Float[Tensor, "B A"]:
        chosen = one_hot(choice, self.n)
        own = (chosen[..., None] * numbers.view(-1, self.n, self.size)).sum(1)
        return torch.cat((chosen, own), dim=-1)
