"""The tensors that travel between the parts.

Shape letters, the same in every file:
    N critics of the ensemble    K atoms of an action    B transitions in a batch
    A numbers in an action       O numbers in an obs     G mini-batches of one iteration
    R rows of the replay buffer
"""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

Scalar = Float[Tensor, ""]
Alpha = Float[Tensor, "*D"]  # one temperature, or one for each action dimension [A]


class Batch(NamedTuple):
    """Transitions: `[B, ...]`, `[G, B, ...]` for a whole iteration, or `[R, ...]`, all that a buffer holds.

    `terminated` alone ends the return; a truncated transition bootstraps from its `next_obs`.
    """

    obs: Shaped[Tensor, "*batch_and_obs"]
    action: Shaped[Tensor, "*batch_and_action"]  # unit action box [..., A], or indices [...]
    reward: Float[Tensor, "*batch"]
    next_obs: Shaped[Tensor, "*batch_and_obs"]
    terminated: Bool[Tensor, "*batch"]

    def at(self, g: int) -> "Batch":
        """Mini-batch g of a `[G, B, ...]` batch."""
        return Batch(*(field[g] for field in self))


class Sample(NamedTuple):
    """Transitions drawn from a buffer and not yet copied: an update does that, compiled in its graph."""

    rows: Batch  # [R, ...]
    drawn: Int[Tensor, "*batch"]  # rows: [B], or [G, B]

    def mini_batches(self) -> list["Sample"]:
        """The G mini-batches of an iteration."""
        return [Sample(self.rows, drawn) for drawn in self.drawn.unbind()]

    def gather(self) -> Batch:
        """Them, `[*batch, ...]`."""
        shape, index = self.drawn.shape, self.drawn.flatten()
        return Batch(*(field.index_select(0, index).view(*shape, *field.shape[1:]) for field in self.rows))


class Origin(NamedTuple):
    """Where the transitions of a Batch come from, in its shape."""

    age: Shaped[Tensor, "*batch"]  # env steps since it was stored
    log_prob: Float[
        Tensor, "*batch"
    ]  # log-density of its action under the policy that chose it; NaN: unknown


class PolicyAtoms(NamedTuple):
    """π(·|s) as K weighted actions: Σ_k prob · f(action) is E_a[f(a)], exactly or as a sample.

    A categorical head answers with all n actions, weighted by π; a Gaussian one with a single
    reparameterised sample of weight 1. Where the action's dimensions are independent, `log_prob_dims`
    are the terms of log π = Σ_d log π_d.
    """

    action: Shaped[Tensor, "K B *A"]
    log_prob: Float[Tensor, "K B"]
    prob: Float[Tensor, "K B"]
    log_prob_dims: Float[Tensor, "K B D"] | None = None

    @property
    def entropy(self) -> Float[Tensor, " B"]:
        """H = −Σ_k prob · log_prob, in nats: exact where the atoms are all actions, else an estimate."""
        return -(self.prob * self.log_prob).sum(0)
