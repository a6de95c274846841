"""What became of a sweep's jobs, read from the files that each job has left."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from sac_lightning.cli.status import DONE, FAILED, INTERRUPTED
from sac_lightning.cli.sweepfolder import told_apart

TOLD = ("env_steps", "eval_episodes", "eval_return_mean", "best_return_mean")


@dataclass(frozen=True)
class JobResult:
    """One job: its number, its overrides, and its summary.json, empty if it left none."""

    number: int
    overrides: Sequence[str]
    path: Path
    summary: dict[str, Any]

    @classmethod
    def read(cls, number: int, overrides: Sequence[str], path: Path) -> "JobResult":
        """The job whose folder is `path`."""
        try:
            summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            summary = {}
        return cls(number, overrides, path, summary if isinstance(summary, dict) else {})

    @property
    def status(self) -> str:
        """`done`, `failed`, ... as its summary says; `missing` without one."""
        return str(self.summary.get("status", "missing"))

    @property
    def code(self) -> int:
        """The exit status that the job would have had as a command of its own."""
        return int(self.summary.get("exit_status", FAILED))


def worst(results: Iterable[JobResult]) -> int:
    """The exit status of a sweep: 0 if all jobs have 0; 130 tells of an interruption before all else."""
    codes = {result.code for result in results}
    return INTERRUPTED if INTERRUPTED in codes else max(codes, default=DONE)


def tell(results: Sequence[JobResult], folder: Path) -> None:
    """Print one row a job, and below them what made jobs fail."""
    varying = _varying([result.overrides for result in results])
    table = Table("job", Column("overrides", overflow="fold"), "status", *TOLD, title=escape(str(folder)))
    for result in results:
        told = " ".join(each for each in result.overrides if each in varying)
        cells = [_cell(result.summary.get(key)) for key in TOLD]
        table.add_row(str(result.number), escape(told), result.status, *cells)
    console = Console(file=sys.stdout)
    console.print(table)
    for result in results:
        if result.summary.get("error"):
            told = f"job {result.number}: {result.summary['error']}: {result.path / 'train.log'}"
            console.print(told, markup=False, highlight=False, soft_wrap=True)


def _varying(jobs: Sequence[Sequence[str]]) -> set[str]:
    """The overrides that not all jobs have; with a single job, those that make it what it is."""
    told = [set(told_apart(list(job))) for job in jobs]
    common = set.intersection(*told) if len(told) > 1 else set()
    return set().union(*told) - common


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
