"""CSV tables that grow by whole rows: a benchmark that is stopped leaves one that reads and continues."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sac_lightning.core.files import write_atomically

Row = dict[str, str]


class Table:
    """Rows of text under fixed columns, in one CSV file; every `add` replaces the file as a whole."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = path, tuple(columns)

    @property
    def rows(self) -> list[Row]:
        """All rows on disk; none where there is no file."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def add(self, rows: Iterable[dict[str, object]], replacing: Callable[[Row], bool] | None = None) -> None:
        """Append `rows`, dropping the old ones that `replacing` is true of."""
        kept = [row for row in self.rows if replacing is None or not replacing(row)]
        new = [{key: written(value) for key, value in row.items()} for row in rows]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *new])
        content = text.getvalue()
        write_atomically(self.path, lambda temporary: temporary.write_text(content, encoding="utf-8"))


def written(value: object) -> str:
    """A cell: floats with six digits, an unknown number as nothing."""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else str(value)
