"""What an experiment of the lab is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sac_lightning.lab.table import Row, Table

Rows = list[Row]
Numbers = dict[str, float]


@dataclass(frozen=True)
class Job:
    """An independent part of an experiment, which may run in a process of its own.

    `run` can be pickled. `seconds` is its expected time on one free core, for the time left.
    """

    told: str
    run: Callable[[], Rows]
    seconds: float


@dataclass(frozen=True)
class Experiment:
    """The jobs whose rows answer a question, the figure and the numbers that are read from them.

    `jobs(seed, budget)`: budget 1 is the whole experiment, less is a shorter look at it.
    """

    letter: str
    name: str
    jobs: Callable[[int, float], Sequence[Job]]
    draw: Callable[[Table, Path], None]
    numbers: Callable[[Table], Numbers]

    @property
    def stem(self) -> str:
        """The name of its CSV and its figure."""
        return f"{self.letter}_{self.name}"

    def table(self, seed: int, budget: float) -> Table:
        """All rows, one job after the other."""
        return Table.of([row for job in self.jobs(seed, budget) for row in job.run()])


def steps(whole: int, budget: float, least: int = 1) -> int:
    """`whole` cut to `budget`, but not below `least`."""
    return max(least, round(whole * budget))
