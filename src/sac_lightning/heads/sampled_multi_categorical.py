"""The head of MultiDiscrete with many joint choices: each choice enumerated while the others are drawn."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sac_lightning.heads.choices import by_choice, gumbel_argmax, one_hot
from sac_lightning.heads.several_choices import SeveralChoices
from sac_lightning.spaces import ActionSpec, MultiDiscreteAction
from sac_lightning.types import PolicyAtoms


@dataclass(frozen=True)
class SampledMultiCategorical(SeveralChoices):
    """π(a|s) = Π_d π_d(a_d|s) over too many joint choices to enumerate.

    One joint choice a is drawn. Atom (d, v) is a with choice d replaced by v: K = Σ sizes atoms. As D
    estimates of the same expectation, V = E[ 1/D Σ_d Σ_v π_d(v) f(v, a_−d) ]; and the gradient of choice d
    comes from its own estimate alone, ∇V = E[ Σ_d Σ_v ∇π_d(v) f(v, a_−d) ], the local expectation gradient
    of Titsias and Lázaro-Gredilla (2015): unbiased, with the variance of the other choices only. So `prob`
    has the value π_d(v)/D and the gradient of π_d(v), and `log_prob` is a constant: the part of the
    gradient that it leaves out, E[∇ log π], is zero.

    An action is its choices' one-hot vectors, one after the other, which the critic reads.
    """

    made_for: ClassVar[str] = "MultiDiscrete actions of more than 256 joint choices"

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return isinstance(action, MultiDiscreteAction) and not action.enumerable

    @property
    def noise_size(self) -> int:
        return sum(self.sizes)

    @property
    def num_actions(self) -> None:
        return None

    @property
    def action_size(self) -> int:
        return sum(self.sizes)

    def choice_log_probs(self, features: Float[Tensor, "B F"]) -> list[Float[Tensor, "B V"]]:
        """log π_d of every choice."""
        return [torch.log_softmax(choice, dim=-1) for choice in by_choice(features, self.sizes)]

    def atoms(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B F"]) -> PolicyAtoms:
        """`noise` is standard normal; Φ makes it uniform, and that draws the joint choice."""
        # Φ rounds to 0 or 1 in the tails.
        uniform = (0.5 * (1.0 + torch.erf(noise / math.sqrt(2.0)))).clamp(1e-7, 1.0 - 1e-7)
        drawn = self._drawn(features, uniform)  # one-hot, [B, V] each
        log_probs = self.choice_log_probs(features)
        taken = torch.stack(
            [(one * each).sum(-1) for one, each in zip(drawn, log_probs, strict=True)]
        )  # [D, B]
        actions, log_prob, prob = [], [], []
        for d, (size, each) in enumerate(zip(self.sizes, log_probs, strict=True)):
            every = torch.eye(size, device=features.device)[:, None, :].expand(-1, features.shape[0], -1)
            others = [one.expand(size, -1, -1) for one in drawn]
            actions.append(torch.cat((*others[:d], every, *others[d + 1 :]), dim=-1))  # [V, B, F]
            log_prob.append(taken.sum(0) - taken[d] + each.T)
            own = each.T.exp()
            prob.append(own - own.detach() * (1.0 - 1.0 / len(self.sizes)))
        return PolicyAtoms(torch.cat(actions), torch.cat(log_prob).detach(), torch.cat(prob))

    def act(self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        return torch.cat(self._drawn(features, noise), dim=-1)

    def log_prob(self, features: Float[Tensor, "B F"], action: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
        return (torch.cat(self.choice_log_probs(features), dim=-1) * action).sum(-1)

    def mode(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        parts = by_choice(features, self.sizes)
        return torch.cat([one_hot(part.argmax(dim=-1), part.shape[-1]) for part in parts], dim=-1)

    def _drawn(self, features: Float[Tensor, "B F"], uniform: Float[Tensor, "B F"]) -> list[Tensor]:
        parts = zip(by_choice(features, self.sizes), by_choice(uniform, self.sizes), strict=True)
        return [one_hot(gumbel_argmax(logits, drawn), logits.shape[-1]) for logits, drawn in parts]
