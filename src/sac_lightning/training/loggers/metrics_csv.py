"""`metrics.csv`: one row for one moment of the run, counted in env steps."""

import csv
import io
import math
import os
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from sac_lightning.core.errors import names_path, require
from sac_lightning.core.files import no_link, write_atomically
from sac_lightning.training.lightning_package import Logger, ModelCheckpoint, rank_zero_only

STEP = "env_steps"
LEADING_COLUMNS = (
    STEP,
    "rollout/return_mean",
    "train/critic_loss",
    "train/actor_loss",
    "train/alpha_loss",
    "train/alpha",
    "train/entropy",
    "train/target_entropy",
    "train/q_mean",
    "eval/return_mean",
    "eval/return_std",
    "eval/episodes",
    "time/env_steps_per_s",
)
IGNORED = frozenset({"epoch", STEP})

Row = dict[str, str]


class MetricsCSV(Logger):
    """A Lightning logger that writes `metrics.csv`, its first column `env_steps`.

    Calls with the same step share one row. Every row is on disk, whole, when `log_metrics` returns, so a
    process killed at any moment leaves a file that reads. On an existing file the rows are kept and
    continued; `truncate_after` drops those that a resumed run is going to make again.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        require(names_path(path) and not Path(path).is_dir(), "path", path, "must be the name of a file")
        self.path = Path(path)
        self._columns: list[str] = list(LEADING_COLUMNS)
        self._rows: dict[int, Row] = {}
        self._file: io.FileIO | None = None
        if self.path.exists() and self.path.stat().st_size:
            self._columns, self._rows, whole = _parse(self.path)
            if not whole:
                self._rewrite()

    @property
    @override
    def name(self) -> str:
        """Empty, so that a ModelCheckpoint without `dirpath` saves beside the file, in `checkpoints/`."""
        return ""

    @property
    @override
    def version(self) -> str:
        return ""

    @property
    @override
    def save_dir(self) -> str:
        return str(self.path.parent)

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add `metrics` to the row of `step`, which is the number of env steps.

        An `env_steps` entry among the metrics takes the place of `step`; with neither, the last row is meant.
        """
        last = next(reversed(self._rows), 0)
        env_steps = int(metrics.get(STEP, last if step is None else step))
        values = {key: repr(float(value)) for key, value in metrics.items() if key not in IGNORED}
        if not values:
            return
        new_columns = [key for key in values if key not in self._columns]
        self._columns += new_columns
        goes_last = not self._rows or env_steps > last
        self._rows.setdefault(env_steps, {}).update(values)
        if new_columns or not goes_last or not self.path.exists():
            self._rewrite()
        else:
            self._append(env_steps)

    @override
    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: `config.yaml` lies in the same directory."""

    @property
    def is_empty(self) -> bool:
        """Whether the file has no rows."""
        return not self._rows

    @rank_zero_only
    def truncate_after(self, env_steps: int) -> None:
        """Drop the rows beyond `env_steps`; the file is replaced as a whole or not at all."""
        kept = {step: row for step, row in self._rows.items() if step <= env_steps}
        if len(kept) < len(self._rows):
            self._rows = kept
            self._rewrite()

    @override
    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Bring the rows to the disk, as the checkpoint that stands beside them is."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the file; a run that logged nothing leaves its header. Later rows open it again."""
        if not self.path.exists():
            self._rewrite()
        self._close()

    def _append(self, env_steps: int) -> None:
        if self._file is None:
            # Unbuffered: the row leaves the process in one call.
            self._file = io.FileIO(self.path, "ab", opener=no_link)
        self._file.write(self._line(env_steps))

    def _rewrite(self) -> None:
        self._close()
        self._rows = dict(sorted(self._rows.items()))
        lines = (_line(self._columns), *(self._line(step) for step in self._rows))
        write_atomically(self.path, lambda temporary: temporary.write_bytes(b"".join(lines)))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _line(self, step: int) -> bytes:
        row = self._rows[step]
        return _line([str(step), *(row.get(key, "") for key in self._columns[1:])])


def read_metrics(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float64]]:
    """The columns of a `metrics.csv`, NaN where a row holds no value."""
    columns, rows, _ = _parse(Path(path))
    table: dict[str, NDArray[np.float64]] = {STEP: np.array(list(rows), dtype=np.float64)}
    for key in columns[1:]:
        values = [float(row[key]) if row.get(key) else math.nan for row in rows.values()]
        table[key] = np.array(values, dtype=np.float64)
    return table


def _parse(path: Path) -> tuple[list[str], dict[int, Row], bool]:
    """Columns, rows by env step, and whether the file needed no repair."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    lines = csv.reader(io.StringIO(data[:end].decode(), newline=""))
    columns = next(lines, [])
    if columns[:1] != [STEP]:
        raise ValueError(f"{path} is not a metrics file: its first column is not {STEP}")
    rows: dict[int, Row] = {}
    whole = end == len(data)
    for cells in lines:
        row = {key: cell for key, cell in zip(columns[1:], cells[1:], strict=False) if cell}
        try:
            step = int(cells[0])
            are_numbers = bool(list(map(float, row.values())))
        except (ValueError, IndexError):
            are_numbers = False
        if are_numbers and len(cells) == len(columns):
            rows[step] = row
        else:
            whole = False
    return columns, rows, whole


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
