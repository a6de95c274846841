"""The head of MultiDiscrete with few joint choices: all of them at once, so every expectation is exact."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sac_lightning.heads.choices import by_choice, gumbel_argmax
from sac_lightning.heads.several_choices import SeveralChoices
from sac_lightning.spaces import ActionSpec, MultiDiscreteAction
from sac_lightning.types import PolicyAtoms


@dataclass(frozen=True)
class MultiCategorical(SeveralChoices):
    """π(a|s) = Π_d π_d(a_d|s), each π_d a softmax; atoms are all ∏ sizes joint choices, weighted by π.

    An action is the index of a joint choice, the last choice running fastest. The actor says Σ sizes
    numbers, the critic one value for each joint choice, so choices may depend on each other in Q.
    """

    made_for: ClassVar[str] = "MultiDiscrete actions of at most 256 joint choices"

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return isinstance(action, MultiDiscreteAction) and action.enumerable

    @property
    def noise_size(self) -> int:
        return 0

    @property
    def num_actions(self) -> int:
        return math.prod(self.sizes)

    @property
    def action_size(self) -> int:
        return 1

    def joint_log_prob(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """log π of every joint choice."""
        joint = torch.zeros_like(features[:, :1])
        for choice in by_choice(features, self.sizes):
            joint = (joint[:, :, None] + torch.log_softmax(choice, dim=-1)[:, None, :]).flatten(1)
        return joint

    def atoms(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B 0"]) -> PolicyAtoms:
        log_prob = self.joint_log_prob(features).T  # [K, B]
        index = torch.arange(self.num_actions, device=features.device)[:, None]
        return PolicyAtoms(index.expand(-1, features.shape[0]), log_prob, log_prob.exp())

    def act(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B F"]) -> Int[Tensor, " B"]:
        parts = zip(by_choice(features, self.sizes), by_choice(noise, self.sizes), strict=True)
        return self._joint([gumbel_argmax(logits, drawn) for logits, drawn in parts])

    def log_prob(self, features: Float[Tensor, "B F"], action: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        return self.joint_log_prob(features).gather(-1, action[:, None])[:, 0]

    def mode(self, features: Float[Tensor, "B F"]) -> Int[Tensor, " B"]:
        return self._joint([choice.argmax(dim=-1) for choice in by_choice(features, self.sizes)])

    def _joint(self, choices: list[Int[Tensor, " B"]]) -> Int[Tensor, " B"]:
        index = torch.zeros_like(choices[0])
        for choice, size in zip(choices, self.sizes, strict=True):
            index = index * size + choice
        return index
