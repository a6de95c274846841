"""The iterables that Lightning draws from: collecting is loading, and so is evaluating."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from sac_lightning.ahead import Ahead
from sac_lightning.collector import Episode
from sac_lightning.types import Origin, Sample

T = TypeVar("T")


class Iteration(NamedTuple):
    """One turn of the loop: env steps were taken, and these mini-batches are due."""

    env_steps: int  # of the whole run, after this turn
    finished: list[Episode]
    updates: int  # G
    sample: Sample | None  # [G, B]; None where no update is due
    ahead: Ahead | None = None  # the next actions, where the update is to choose them
    origin: Callable[[], Origin] | None = None  # of that sample, for diagnostics


class SizedLoader(Generic[T]):
    """Batches of `sizes` items that are made when they are asked for, in the middle of a batch too.

    The length matters: Lightning fetches one batch ahead from an iterable without one, which would make
    the collector act with a stale policy and a checkpoint hold a step too many.
    """

    def __init__(self, sizes: Sequence[int], make: Callable[[], T]) -> None:
        self._sizes, self._make = sizes, make
        self._left = sum(sizes)
        self._stopped = False

    @property
    def cut_short(self) -> bool:
        """Whether `stop` left items unmade."""
        return self._stopped and self._left > 0

    def stop(self) -> None:
        """Make no further item."""
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
