"""Prioritized replay: transitions with a large TD error are drawn more often."""

from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sac_lightning.core.fields import Number, Whole, check_arguments
from sac_lightning.replay.buffer import BatchIndex, ReplayBuffer, Storage
from sac_lightning.spaces import Array


class PrioritizedReplay(ReplayBuffer):
    """Draws transition i with probability p_i^α / Σ p^α, p_i = |TD error| + eps     (1511.05952)

    The critic's loss weighs each by (R · P(i))^−β, divided by the largest weight of the mini-batch. New
    transitions have the largest priority seen so far.

    Args:
        alpha: exponent of the priorities; 0 is uniform.
        beta: exponent of the weights at the first env step.
        beta_steps: transitions over which β rises to 1.
        eps: added to each TD error.
        capacity, n_step, gamma, frame_stack, storage: as for ReplayBuffer.
    """

    @check_arguments("replay")
    def __init__(
        self,
        capacity: int | None = None,
        n_step: int = 1,
        gamma: float | str = 0.99,
        *,
        alpha: Annotated[float, Number("[0, 1]")] = 0.6,
        beta: Annotated[float, Number("[0, 1]")] = 0.4,
        beta_steps: Annotated[int, Whole("[1, inf)")] = 1_000_000,
        eps: Annotated[float, Number("(0, 1)")] = 1e-6,
        frame_stack: int = 1,
        storage: Storage = "memory",
    ) -> None:
        super().__init__(capacity, n_step, gamma, frame_stack=frame_stack, storage=storage)
        self.alpha, self.beta, self.beta_steps, self.eps = alpha, beta, beta_steps, eps

    def allocate(self, capacity: int, *args: Any, **options: Any) -> None:
        super().allocate(capacity, *args, **options)
        self._tree = SumTree(capacity)
        self._largest = 1.0

    def add(self, *args: Any, **fields: Any) -> None:
        first = self.added
        super().add(*args, **fields)
        rows = np.arange(first, self.added) % self.capacity
        self._tree.set(rows, np.full(len(rows), self._largest**self.alpha))

    def draw(self, batches: int, batch_size: int) -> BatchIndex:
        if not self.added:
            raise RuntimeError("the replay buffer is empty: add transitions before sampling")
        uniform = torch.rand(
            (batches, batch_size), generator=self.generator, device=self.device, dtype=torch.float64
        )
        rows = self._tree.find(uniform.cpu().numpy() * self._tree.total).reshape(batches, batch_size)
        weight = self._weight(self._tree.get(rows) / self._tree.total)
        self.last_index = torch.from_numpy(rows).to(self.device)
        return BatchIndex(self.last_index, torch.from_numpy(weight.astype(np.float32)).to(self.device))

    def _weight(self, probability: Array) -> Array:
        """Returns the weights in the loss of transitions that are drawn with `probability`, [G, B]."""
        beta = self.beta + (1.0 - self.beta) * min(1.0, self.added / self.beta_steps)
        weight = (len(self) * probability) ** -beta
        weight /= weight.max(axis=1, keepdims=True)
        return np.asarray(weight)

    def _priority(self, td_error: Array) -> Array:
        """Returns p_i."""
        return td_error + self.eps

    def report(self, index: Int[Tensor, " B"], td_error: Float[Tensor, " B"]) -> None:
        priority = self._priority(td_error.detach().cpu().numpy().astype(np.float64))
        self._largest = max(self._largest, float(priority.max()))
        self._tree.set(index.cpu().numpy(), priority**self.alpha)

    def state_dict(self) -> dict[str, Any]:
        leaves = torch.from_numpy(self._tree.get(np.arange(self.capacity))[: len(self)].copy())
        return {**super().state_dict(), "priorities": leaves, "largest": self._largest}

    def empty_state(self, state: dict[str, Any]) -> dict[str, Any]:
        return {**super().empty_state(state), "priorities": state["priorities"][:0]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        leaves = state["priorities"].numpy()
        self._tree = SumTree(self.capacity)
        self._tree.set(np.arange(len(leaves)), leaves)
        self._largest = state["largest"]


class LapReplay(PrioritizedReplay):
    """Draws transition i with probability p_i^α / Σ p^α, p_i = max(|TD error|, 1)     (LAP, 2007.06049)

    All weights are 1: with the Huber loss (value_head=scalar_huber) the expected gradient is that of uniform
    replay with another loss. Deviation: the TD error is the mean over the critics, not the largest.

    Args:
        alpha: exponent of the priorities; 0 is uniform.
        capacity, n_step, gamma, frame_stack, storage: as for ReplayBuffer.
    """

    needs_huber_loss: ClassVar[bool] = True

    @check_arguments("replay")
    def __init__(
        self,
        capacity: int | None = None,
        n_step: int = 1,
        gamma: float | str = 0.99,
        *,
        alpha: Annotated[float, Number("[0, 1]")] = 0.4,
        frame_stack: int = 1,
        storage: Storage = "memory",
    ) -> None:
        super().__init__(capacity, n_step, gamma, alpha=alpha, frame_stack=frame_stack, storage=storage)

    def _weight(self, probability: Array) -> Array:
        return np.ones_like(probability)

    def _priority(self, td_error: Array) -> Array:
        return np.maximum(td_error, 1.0)


class SumTree:
    """Stores R numbers ≥ 0 in a binary tree of sums: finding one and changing one take log R steps."""

    def __init__(self, size: int) -> None:
        self._leaves = 1 << max(0, size - 1).bit_length()
        self._sums = np.zeros(2 * self._leaves)

    @property
    def total(self) -> float:
        """Returns the sum of all numbers."""
        return float(self._sums[1])

    def get(self, index: Array) -> Array:
        """Returns the numbers at `index`."""
        numbers: Array = self._sums[self._leaves + index]
        return numbers

    def set(self, index: Array, values: Array) -> None:
        """Changes the numbers at `index`; the last of equal indices counts."""
        if not len(index):
            return
        place = self._leaves + index
        self._sums[place] = values
        while place[0] > 1:
            place = np.unique(place // 2)
            self._sums[place] = self._sums[2 * place] + self._sums[2 * place + 1]

    def find(self, points: Array) -> Array:
        """Returns the index in whose part of [0, total) each point lies."""
        points = points.reshape(-1).copy()
        place = np.ones(len(points), np.int64)
        while place[0] < self._leaves:
            left = self._sums[2 * place]
            # Rounding must not lead to a number that is 0.
            right = (points >= left) & (self._sums[2 * place + 1] > 0.0)
            points -= np.where(right, left, 0.0)
            place = 2 * place + right
        return place - self._leaves
