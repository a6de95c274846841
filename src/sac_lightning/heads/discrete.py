"""Heads of discrete choices: every action at once where they are few enough, else sampled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sac_lightning.core.errors import require
from sac_lightning.heads.base import ActionHead, Features, Interval
from sac_lightning.spaces import ActionSpec, DiscreteAction, MultiDiscreteAction
from sac_lightning.types import WeightedActions


class Choices(ActionHead):
    """A head whose features are logits; a uniform number for each draws an action."""

    def draw_acting_noise(
        self, states: int, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "B F"]:
        """Returns uniform numbers, for `gumbel_argmax`."""
        return torch.rand(states, self.feature_size, generator=generator, device=device)


@dataclass(frozen=True)
class Categorical(Choices):
    """π = softmax(features); all n actions, weighted by π     (1910.07207 eq. 10 to 12)

    The gradient reaches the actor through the probabilities; no sample, no noise.
    """

    action_space_name: ClassVar[str] = "Discrete actions"
    n: int

    @classmethod
    def supports(cls, action: ActionSpec) -> bool:
        return isinstance(action, DiscreteAction)

    @classmethod
    def sizes_for(cls, action: ActionSpec) -> dict[str, int]:
        assert isinstance(action, DiscreteAction)
        return {"n": action.n}

    def __post_init__(self) -> None:
        require(self.n >= 2, "n", self.n, "a choice needs at least two actions")

    @property
    def feature_size(self) -> int:
        return self.n

    @property
    def num_actions(self) -> int:
        return self.n

    @property
    def action_size(self) -> int:
        return 1

    @property
    def entropy_interval(self) -> Interval:
        return Interval(0.0, math.log(self.n))

    def weighted_actions(self, features: Features, noise: Float[Tensor, "B 0"]) -> WeightedActions:
        return all_actions(torch.log_softmax(features, dim=-1))

    def act(self, features: Features, noise: Float[Tensor, "B F"]) -> Int[Tensor, " B"]:
        return gumbel_argmax(features, noise)

    def log_prob(self, features: Features, action: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        return torch.log_softmax(features, dim=-1).gather(-1, action[:, None])[:, 0]

    def mode(self, features: Features) -> Int[Tensor, " B"]:
        return features.argmax(dim=-1)


@dataclass(frozen=True)
class FactoredCategorical(Choices):
    """π(a|s) = Π_d π_d(a_d|s), each π_d a softmax of its own `sizes[d]` features."""

    sizes: tuple[int, ...]

    @classmethod
    def sizes_for(cls, action: ActionSpec) -> dict[str, Any]:
        assert isinstance(action, MultiDiscreteAction)
        return {"sizes": action.sizes}

    @property
    def feature_size(self) -> int:
        return sum(self.sizes)

    @property
    def num_discrete(self) -> int:
        return math.prod(self.sizes)

    @property
    def entropy_interval(self) -> Interval:
        return Interval(0.0, math.fsum(math.log(size) for size in self.sizes))


@dataclass(frozen=True)
class MultiCategorical(FactoredCategorical):
    """π(a|s) = Π_d π_d(a_d|s), each π_d a softmax; all ∏ sizes joint choices, weighted by π.

    An action is the index of a joint choice, the last choice running fastest. The actor returns Σ sizes
    numbers, the critic one value for each joint choice, so choices may depend on each other in Q.
    """

    action_space_name: ClassVar[str] = "MultiDiscrete and MultiBinary actions of at most 256 joint choices"

    @classmethod
    def supports(cls, action: ActionSpec) -> bool:
        return isinstance(action, MultiDiscreteAction) and action.enumerable

    @property
    def num_actions(self) -> int:
        return math.prod(self.sizes)

    @property
    def action_size(self) -> int:
        return 1

    def joint_log_prob(self, features: Features) -> Float[Tensor, "B K"]:
        """log π of every joint choice."""
        joint = torch.zeros_like(features[:, :1])
        for choice in by_choice(features, self.sizes):
            joint = (joint[:, :, None] + torch.log_softmax(choice, dim=-1)[:, None, :]).flatten(1)
        return joint

    def weighted_actions(self, features: Features, noise: Float[Tensor, "B 0"]) -> WeightedActions:
        return all_actions(self.joint_log_prob(features))

    def act(self, features: Features, noise: Float[Tensor, "B F"]) -> Int[Tensor, " B"]:
        parts = zip(by_choice(features, self.sizes), by_choice(noise, self.sizes), strict=True)
        return self._joint([gumbel_argmax(logits, drawn) for logits, drawn in parts])

    def log_prob(self, features: Features, action: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        return self.joint_log_prob(features).gather(-1, action[:, None])[:, 0]

    def mode(self, features: Features) -> Int[Tensor, " B"]:
        return self._joint([choice.argmax(dim=-1) for choice in by_choice(features, self.sizes)])

    def _joint(self, choices: list[Int[Tensor, " B"]]) -> Int[Tensor, " B"]:
        index = torch.zeros_like(choices[0])
        for choice, size in zip(choices, self.sizes, strict=True):
            index = index * size + choice
        return index


@dataclass(frozen=True)
class SampledMultiCategorical(FactoredCategorical):
    """π(a|s) = Π_d π_d(a_d|s) over too many joint choices to enumerate.

    One joint choice a is drawn. Action (d, v) is a with choice d replaced by v: K = Σ sizes actions. As D
    estimates of the same expectation, V = E[ 1/D Σ_d Σ_v π_d(v) f(v, a_−d) ]; and the gradient of choice d
    comes from its own estimate alone, ∇V = E[ Σ_d Σ_v ∇π_d(v) f(v, a_−d) ], the local expectation gradient
    of Titsias and Lázaro-Gredilla (2015): unbiased, with the variance of the other choices only. So `weight`
    has the value π_d(v)/D and the gradient of π_d(v), and `log_prob` is a constant: the part of the
    gradient that it leaves out, E[∇ log π], is zero.

    An action is its choices' one-hot vectors, one after the other, which the critic reads.
    """

    action_space_name: ClassVar[str] = "MultiDiscrete and MultiBinary actions of more than 256 joint choices"

    @classmethod
    def supports(cls, action: ActionSpec) -> bool:
        return isinstance(action, MultiDiscreteAction) and not action.enumerable

    @property
    def noise_size(self) -> int:
        return sum(self.sizes)

    @property
    def action_size(self) -> int:
        return sum(self.sizes)

    def choice_log_probs(self, features: Features) -> list[Float[Tensor, "B V"]]:
        """log π_d of every choice."""
        return [torch.log_softmax(choice, dim=-1) for choice in by_choice(features, self.sizes)]

    def weighted_actions(self, features: Features, noise: Float[Tensor, "B F"]) -> WeightedActions:
        """`noise` is standard normal; Φ makes it uniform, and that draws the joint choice."""
        # Φ rounds to 0 or 1 in the tails.
        uniform = (0.5 * (1.0 + torch.erf(noise / math.sqrt(2.0)))).clamp(1e-7, 1.0 - 1e-7)
        drawn = self._drawn(features, uniform)  # one-hot, [B, V] each
        log_probs = self.choice_log_probs(features)
        chosen = [(one * each).sum(-1) for one, each in zip(drawn, log_probs, strict=True)]
        taken = torch.stack(chosen)  # [D, B]
        actions, log_prob, weight = [], [], []
        for d, (size, each) in enumerate(zip(self.sizes, log_probs, strict=True)):
            every = torch.eye(size, device=features.device)[:, None, :].expand(-1, features.shape[0], -1)
            others = [one.expand(size, -1, -1) for one in drawn]
            actions.append(torch.cat((*others[:d], every, *others[d + 1 :]), dim=-1))  # [V, B, F]
            log_prob.append(taken.sum(0) - taken[d] + each.T)
            own = each.T.exp()
            weight.append(own - own.detach() * (1.0 - 1.0 / len(self.sizes)))
        return WeightedActions(torch.cat(actions), torch.cat(log_prob).detach(), torch.cat(weight))

    def act(self, features: Features, noise: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        return torch.cat(self._drawn(features, noise), dim=-1)

    def log_prob(self, features: Features, action: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
        return (torch.cat(self.choice_log_probs(features), dim=-1) * action).sum(-1)

    def mode(self, features: Features) -> Float[Tensor, "B F"]:
        parts = by_choice(features, self.sizes)
        return torch.cat([one_hot(part.argmax(dim=-1), part.shape[-1]) for part in parts], dim=-1)

    def _drawn(self, features: Features, uniform: Float[Tensor, "B F"]) -> list[Tensor]:
        parts = zip(by_choice(features, self.sizes), by_choice(uniform, self.sizes), strict=True)
        return [one_hot(gumbel_argmax(logits, drawn), logits.shape[-1]) for logits, drawn in parts]


def all_actions(log_prob: Float[Tensor, "B K"]) -> WeightedActions:
    """Returns the K actions by index, weighted by their probabilities."""
    by_action = log_prob.T  # [K, B]
    index = torch.arange(log_prob.shape[1], device=log_prob.device)[:, None].expand(-1, len(log_prob))
    return WeightedActions(index, by_action, by_action.exp())


def gumbel_argmax(logits: Float[Tensor, "B n"], uniform: Float[Tensor, "B n"]) -> Int[Tensor, " B"]:
    """A draw from softmax(logits): argmax(logits + g) with Gumbel noise g, cheaper than multinomial."""
    return (logits - (-uniform.clamp_min(1e-20).log()).log()).argmax(dim=-1)


def by_choice(numbers: Float[Tensor, "B F"], sizes: Sequence[int]) -> list[Float[Tensor, "B V"]]:
    """The numbers of each of D choices, in views."""
    return list(torch.split(numbers, list(sizes), dim=-1))


def one_hot(index: Int[Tensor, " B"], size: int) -> Float[Tensor, "B n"]:
    """A 1 at each index, and zeros: unlike PyTorch's own it looks at no index, for which a GPU would wait."""
    return (index[:, None] == torch.arange(size, device=index.device)).float()
