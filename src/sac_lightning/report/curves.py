"""The curves of a `metrics.csv`, read fast enough for a million rows."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

STEP, SCORE = "env_steps", "eval/return_mean"
ALPHA, ENTROPY, TARGET = "train/alpha", "train/entropy", "train/target_entropy"
WANTED = (SCORE, ALPHA, ENTROPY, TARGET)


@dataclass(frozen=True)
class Curve:
    """Finite `values` at `steps`, which increase; both [T]."""

    steps: Column
    values: Column

    def __len__(self) -> int:
        """The number of points."""
        return len(self.steps)


EMPTY = Curve(np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Curves:
    """What a report takes from one metrics.csv. `keys`: all its metrics; `dropped`: its damaged rows."""

    keys: tuple[str, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    rows: int = 0
    dropped: int = 0

    def __getitem__(self, key: str) -> Curve:
        """The curve of a metric, empty where the run has none."""
        return self.curves.get(key, EMPTY)


NO_CURVES = Curves()


def read_curves(path: Path) -> Curves:
    """The WANTED columns; NaN and infinite cells are left out, and of a repeated step the last row counts.

    No file is no curve. A row that is torn or holds no numbers is dropped. Raises ValueError when the first
    column is not `env_steps`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return NO_CURVES
    # What follows the last line's end was torn off while it was written.
    whole = data.rfind(b"\n") + 1
    lines = csv.reader(io.StringIO(data[:whole].decode(errors="replace"), newline=""))
    header = next(lines, [])
    if not header and whole == 0:
        return Curves(dropped=int(bool(data)))
    if header[:1] != [STEP]:
        raise ValueError(f"its first column is not {STEP}")
    kept = [cells for cells in lines if len(cells) == len(header)]
    torn = lines.line_num - 1 - len(kept) + int(whole < len(data))
    wanted = [key for key in WANTED if key in header]
    table, unreadable = _numbers(kept, [0, *(header.index(key) for key in wanted)])
    found = {key: _curve(table[0], column) for key, column in zip(wanted, table[1:], strict=True)}
    return Curves(tuple(header[1:]), found, table.shape[1], torn + unreadable)


def _numbers(rows: list[list[str]], places: list[int]) -> tuple[Column, int]:
    """The columns at `places`, [P, T], NaN for empty cells, and how many rows held something else."""
    try:
        return np.array([_column(rows, place) for place in places]).reshape(len(places), -1), 0
    except ValueError:
        good = [cells for cells in rows if _is_numeric(cells, places)]
        return _numbers(good, places)[0], len(rows) - len(good)


def _column(rows: list[list[str]], place: int) -> list[float]:
    nan = float("nan")
    return [float(cell) if (cell := cells[place]) else nan for cells in rows]


def _is_numeric(cells: list[str], places: list[int]) -> bool:
    try:
        return all(float(cells[place] or "nan") is not None for place in places)
    except ValueError:
        return False


def _curve(steps: Column, values: Column) -> Curve:
    known = np.isfinite(steps) & np.isfinite(values)
    steps, values = steps[known], values[known]
    if len(steps) > 1 and not (np.diff(steps) > 0).all():
        # From the end, so that the first of equals is the last written.
        steps, order = np.unique(steps[::-1], return_index=True)
        values = values[::-1][order]
    return Curve(steps, values)
