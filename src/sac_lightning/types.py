"""The tensors that travel between the parts.

Shape letters, the same in every file:
    N critics of the ensemble    K weighted actions per state    B transitions in a batch
    A numbers in an action       O numbers in an obs             G mini-batches of one iteration
    F features (outputs) of a network                            R rows of the replay buffer
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

Scalar = Float[Tensor, ""]
Alpha = Float[Tensor, "*D"]  # one temperature, or one for each action dimension [A]


class Batch(NamedTuple):
    """A mini-batch of transitions. The critic's target is y = reward + discount · V(next_obs).

    The replay buffer computes `discount`: γ(1 − terminated) for one step, γᵏ(1 − terminated) for k steps.
    A truncated transition keeps its bootstrap.
    """

    obs: Shaped[Tensor, "B *obs"]
    action: Shaped[Tensor, "B *A"]  # in the unit action box [B, A], or indices [B]
    reward: Float[Tensor, " B"]  # of one step, or the discounted sum of n steps
    next_obs: Shaped[Tensor, "B *obs"]
    discount: Float[Tensor, " B"]
    weight: Float[Tensor, " B"]  # of each transition in the critic's loss; 1 unless a sampler says otherwise
    # Rows of the replay buffer.
    index: Int[Tensor, " B"]  # type: ignore[assignment]  # hides the method tuple.index, which nobody calls
    log_prob: Float[Tensor, " B"]  # log π(a|s) of the policy that chose the action; NaN where unknown


class WeightedActions(NamedTuple):
    """π(·|s) as K weighted actions: Σ_k weight · f(action) is E_a[f(a)], exactly or as a sample.

    A categorical head returns all n actions, weighted by π; a Gaussian head returns one reparameterised
    sample of weight 1. Where the action's dimensions are independent, `log_prob_dims` are the terms of
    log π = Σ_d log π_d.
    """

    action: Shaped[Tensor, "K B *A"]
    log_prob: Float[Tensor, "K B"]
    weight: Float[Tensor, "K B"]
    log_prob_dims: Float[Tensor, "K B D"] | None = None

    @property
    def entropy(self) -> Float[Tensor, " B"]:
        """H = −Σ_k weight · log_prob, in nats: exact where these are all actions, else an estimate."""
        return -(self.weight * self.log_prob).sum(0)


@dataclass(frozen=True, eq=False)
class PackedMetrics(Mapping[str, Scalar]):
    """Named numbers that travel as one tensor, since each tensor costs a few µs wherever it is passed on."""

    names: tuple[str, ...]
    numbers: Float[Tensor, " M"]  # detached

    @classmethod
    def of(cls, metrics: Mapping[str, Tensor]) -> Self:
        """Packs `metrics`, each as the mean of its numbers."""
        return cls(
            tuple(metrics), torch.stack([value.mean() if value.ndim else value for value in metrics.values()])
        )

    def __getitem__(self, name: str) -> Scalar:
        if name not in self.names:
            raise KeyError(name)
        return self.numbers[self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
