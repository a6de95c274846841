"""The iterables that Lightning draws from: collecting is loading, and so is evaluating."""

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

from sac_lightning.collector import Episode
from sac_lightning.types import Batch, Origin

T = TypeVar("T")


class Iteration(NamedTuple):
    """One turn of the loop: env steps were taken, and these mini-batches are due."""

    env_steps: int  # of the whole run, after this turn
    finished: list[Episode]
    updates: int  # G
    batch: Batch | None  # [G, B, ...]; None where no update is due
    origin: Callable[[], Origin] | None = None  # of that batch, for diagnostics


class SizedLoader(Generic[T]):
    """An iterable of known length whose items are made when they are asked for.

    The length matters: Lightning fetches one item ahead from an iterable without one, which would make
    the collector act with a stale policy and a checkpoint hold a step too many.
    """

    def __init__(self, length: int, make: Callable[[], T]) -> None:
        self._length, self._make = length, make
        self._stopped = False
        self._made = 0

    @property
    def cut_short(self) -> bool:
        """Whether `stop` left items unmade."""
        return self._stopped and self._made < self._length

    def stop(self) -> None:
        """Make no further item."""
        self._stopped = True

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        for _ in range(self._length):
            if self._stopped:
                return
            self._made += 1
            yield self._make()
