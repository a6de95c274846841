"""The parts of an experiment: jobs that return rows, and the table that its figure is drawn from."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.files import write_atomically

Row = Mapping[str, float | str]
Rows = list[Row]
Numbers = dict[str, float]
Column = NDArray[np.float64]


class Table:
    """Rows of text cells, as in a CSV: a figure that is drawn from a table shows the digits of the file."""

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.columns = tuple(columns)
        self.rows = [dict(zip(self.columns, row, strict=True)) for row in rows]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Table":
        """Return the table that a CSV of `rows` would give; columns in the order of their first cells."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        return cls(columns, [[cell(row.get(key, "")) for key in columns] for row in rows])

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Read a CSV file."""
        with path.open(newline="", encoding="utf-8") as file:
            columns, *rows = csv.reader(file)
        return cls(columns, rows)

    def write(self, path: Path) -> None:
        """Write a CSV file, whole or not at all."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        content = text.getvalue()
        write_atomically(path, lambda temporary: temporary.write_text(content, encoding="utf-8"))

    def where(self, **cells: float | str) -> "Table":
        """Return the rows with these cells."""
        wanted = {key: cell(value) for key, value in cells.items()}
        kept = [row for row in self.rows if all(row[key] == value for key, value in wanted.items())]
        return Table(self.columns, [list(row.values()) for row in kept])

    def known(self, *keys: str) -> "Table":
        """Return the rows in which none of these cells is empty."""
        kept = [row for row in self.rows if all(row[key] for key in keys)]
        return Table(self.columns, [list(row.values()) for row in kept])

    def distinct(self, key: str) -> list[str]:
        """Return the different cells of a column, in the order in which they appear."""
        return list(dict.fromkeys(row[key] for row in self.rows))

    def column(self, key: str) -> Column:
        """Return a column as numbers, NaN where a cell is empty."""
        return np.array([float(row[key]) if row[key] else math.nan for row in self.rows])

    def by(self, key: str, split: str) -> Column:
        """Return column `key` as [S, T], one equally long line for each distinct cell of `split`."""
        return np.stack([self.where(**{split: each}).column(key) for each in self.distinct(split)])

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Job:
    """An independent part of an experiment, which may run in its own process.

    Args:
        label: what the progress line shows.
        run: returns the rows; must be picklable.
        seconds: the expected time on one free core, for the estimate of the time left.
    """

    label: str
    run: Callable[[], Rows]
    seconds: float


@dataclass(frozen=True)
class Experiment:
    """A question, the jobs whose rows answer it, and the figure and the numbers read from those rows.

    Args:
        letter: its letter in the documents.
        name: the rest of its files' names.
        jobs: called with (seed, budget); budget 1 is the whole experiment, less is a shorter look at it.
        draw: draws the table to a PNG file.
        numbers: the numbers that texts may quote.
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


def cell(value: float | str) -> str:
    """Write floats with six digits, whole numbers whole, NaN as nothing."""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return str(value)


def steps(whole: int, budget: float, least: int = 1) -> int:
    """Return `whole` times `budget`, but not less than `least`."""
    return max(least, round(whole * budget))
