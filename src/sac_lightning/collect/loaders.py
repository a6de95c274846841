"""The loaders that Lightning iterates: loading a batch collects experience, or evaluates the policy."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from torch import Tensor

from sac_lightning.collect.collector import Episode
from sac_lightning.compile.fused_action import FusedAction
from sac_lightning.replay import BatchIndex, ReplayBuffer
from sac_lightning.spaces import Array

T = TypeVar("T")


class Iteration(NamedTuple):
    """Reports one iteration of the training loop: env steps were taken, and these mini-batches are due."""

    env_steps: int  # of the whole run, after this iteration
    finished: list[Episode]
    stored: int  # transitions that were stored
    discounted_returns: Array | Tensor  # after each of these env steps, of the episode so far
    replay: ReplayBuffer
    updates: int  # G
    # [G, B]; None where no update is due.
    index: BatchIndex | None  # type: ignore[assignment]  # hides the method tuple.index
    fused_action: FusedAction | None = None  # the next step of the envs, where the update chooses its actions
    # Updates since those behind the weights that acted here; None where that is none of interest.
    policy_lag: int | None = None

    def mini_batches(self) -> Iterator[BatchIndex]:
        """Yields the G mini-batches, [B] each."""
        if self.index is not None:
            yield from map(BatchIndex, self.index.index.unbind(), self.index.weight.unbind())


class SizedLoader(Generic[T]):
    """Yields batches of `sizes` items, each item made by `make` when it is needed.

    The length matters: Lightning fetches one batch ahead from an iterable without one, which would make
    the collector act with a stale policy and a checkpoint contain a step too many.
    """

    def __init__(self, sizes: Sequence[int], make: Callable[[], T]) -> None:
        self._sizes, self._make = sizes, make
        self._left = sum(sizes)
        self._stopped = False

    @property
    def cut_short(self) -> bool:
        """Returns whether `stop` left items unmade."""
        return self._stopped and self._left > 0

    def stop(self) -> None:
        """Makes no further item."""
        self._stopped = True

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[Iterator[T]]:
        self._left = sum(self._sizes)
        for size in self._sizes:
            if self._stopped:
                return
            yield self._batch(size)

    def _batch(self, size: int) -> Iterator[T]:
        for _ in range(size):
            if self._stopped:
                return
            self._left -= 1
            yield self._make()
