"""The head of Discrete(n): all n actions at once, so every expectation is exact."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sac_lightning.errors import require
from sac_lightning.heads.base import ActionHead, Interval
from sac_lightning.heads.choices import gumbel_argmax
from sac_lightning.spaces import ActionSpec, DiscreteAction
from sac_lightning.types import PolicyAtoms


@dataclass(frozen=True)
class Categorical(ActionHead):
    """π = softmax(features); atoms are the n actions weighted by π     (1910.07207 eq. 10 to 12)

    The gradient reaches the actor through the probabilities; no sample, no noise.
    """

    made_for: ClassVar[str] = "Discrete actions"
    n: int

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return isinstance(action, DiscreteAction)

    @classmethod
    def sized(cls, action: ActionSpec) -> dict[str, int]:
        assert isinstance(action, DiscreteAction)
        return {"n": action.n}

    def __post_init__(self) -> None:
        require(self.n >= 2, "n", self.n, "a choice needs at least two actions")

    @property
    def feature_size(self) -> int:
        return self.n

    @property
    def noise_size(self) -> int:
        return 0

    @property
    def num_actions(self) -> int:
        return self.n

    @property
    def action_size(self) -> int:
        return 1

    @property
    def entropy_interval(self) -> Interval:
        return Interval(0.0, math.log(self.n))

    def atoms(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B 0"]) -> PolicyAtoms:
        log_prob = torch.log_softmax(features, dim=-1).T  # [K, B]
        index = torch.arange(self.n, device=features.device)[:, None].expand(-1, features.shape[0])
        return PolicyAtoms(index, log_prob, log_prob.exp())

    def act(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B F"]) -> Int[Tensor, " B"]:
        return gumbel_argmax(features, noise)

    def draw_acting_noise(
        self, states: int, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "B F"]:
        """Uniform."""
        return torch.rand(states, self.n, generator=generator, device=device)

    def log_prob(self, features: Float[Tensor, "B F"], action: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        return torch.log_softmax(features, dim=-1).gather(-1, action[:, None])[:, 0]

    def mode(self, features: Float[Tensor, "B F"]) -> Int[Tensor, " B"]:
        return features.argmax(dim=-1)
