"""Tables of the lab: rows in memory, CSV on disk, and how a figure reads them."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.files import write_atomically

Row = Mapping[str, float | str]
Column = NDArray[np.float64]


class Table:
    """Rows of text, as a CSV holds them: what is drawn from a table is drawn from the file's digits."""

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.columns = tuple(columns)
        self.rows = [dict(zip(self.columns, row, strict=True)) for row in rows]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Table":
        """`rows` as their CSV would give them back; columns in the order in which they first appear."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        return cls(columns, [[cell(row.get(key, "")) for key in columns] for row in rows])

    @classmethod
    def read(cls, path: Path) -> "Table":
        """The table of a CSV file."""
        with path.open(newline="", encoding="utf-8") as file:
            columns, *rows = csv.reader(file)
        return cls(columns, rows)

    def write(self, path: Path) -> None:
        """As CSV, whole or not at all."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        content = text.getvalue()
        write_atomically(path, lambda temporary: temporary.write_text(content, encoding="utf-8"))

    def where(self, **cells: float | str) -> "Table":
        """The rows that hold these cells."""
        wanted = {key: cell(value) for key, value in cells.items()}
        kept = [row for row in self.rows if all(row[key] == value for key, value in wanted.items())]
        return Table(self.columns, [list(row.values()) for row in kept])

    def known(self, *keys: str) -> "Table":
        """The rows in which none of these cells is empty."""
        kept = [row for row in self.rows if all(row[key] for key in keys)]
        return Table(self.columns, [list(row.values()) for row in kept])

    def distinct(self, key: str) -> list[str]:
        """The different cells of a column, in the order in which they appear."""
        return list(dict.fromkeys(row[key] for row in self.rows))

    def column(self, key: str) -> Column:
        """A column as numbers, NaN where a cell is empty."""
        return np.array([float(row[key]) if row[key] else math.nan for row in self.rows])

    def by(self, key: str, split: str) -> Column:
        """[S, T]: column `key`, one line for each distinct cell of `split`; lines are equally long."""
        return np.stack([self.where(**{split: each}).column(key) for each in self.distinct(split)])

    def __len__(self) -> int:
        return len(self.rows)


def cell(value: float | str) -> str:
    """Floats with six digits, whole numbers whole, NaN as nothing."""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return str(value)
