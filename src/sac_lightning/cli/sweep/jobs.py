"""The jobs of a sweep in its folder: which ones they are, how each ended, and the table of all."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from sac_lightning.cli.command_line import DONE, ENDED, FAILED, INTERRUPTED, format_number
from sac_lightning.cli.rundir import RunDirectory
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.files import read_json, write_json

COLUMNS = ("env_steps", "eval_episodes", "eval_return_mean", "best_return_mean")
KILLED = "the worker process ended unexpectedly"
# How and where a job runs, and how it is watched, makes no other job of it.
WATCHING = (
    *("sweep.", "launcher=", "threads=", "logger", "callbacks", "trainer", "hydra"),
    *("hparams_search=", "resume=", "print_config="),
)


def defining_overrides(overrides: Iterable[str]) -> list[str]:
    """Return the overrides that decide what a job computes."""
    return [each for each in overrides if not each.lstrip("+~").startswith(WATCHING)]


class Job:
    """One job of a sweep, seen from outside.

    Args:
        number: its place in the sweep, from 0.
        overrides: its arguments, as Hydra takes them.
        path: its folder.
    """

    def __init__(self, number: int, overrides: Sequence[str], path: Path) -> None:
        self.number, self.overrides, self.path = number, list(overrides), path
        self._before = self._written()

    @property
    def summary(self) -> dict[str, Any]:
        """Its summary.json; empty without one."""
        return read_json(self.path / "summary.json") or {}

    @property
    def status(self) -> str:
        """`done`, `failed`, ... as its summary says; `missing` without one."""
        return str(self.summary.get("status", "missing"))

    @property
    def code(self) -> int:
        """The exit status that the job would have had as a command of its own."""
        return int(self.summary.get("exit_status", FAILED))

    @property
    def begun(self) -> bool:
        """Whether it has written anything since this object was made; a job that was done does not."""
        return self._written() != self._before

    @property
    def ended(self) -> bool:
        """Whether it has written its summary since this object was made, or was done before."""
        return self._written()[1] != self._before[1] or self.status in ENDED

    def fail(self) -> None:
        """Write the summary that its worker could not write."""
        directory = RunDirectory(self.path)
        config = OmegaConf.load(directory.config) if directory.config.is_file() else OmegaConf.create()
        directory.write_failure(FAILED, KILLED, defining_overrides(self.overrides), config)

    def _written(self) -> tuple[int, int]:
        """When config.yaml, a job's first file, and summary.json, its last, were written; 0: never."""
        directory = RunDirectory(self.path)
        first, last = (
            each.stat().st_mtime_ns if each.is_file() else 0 for each in (directory.config, directory.summary)
        )
        return first, last


def exit_status_of(jobs: Iterable[Job]) -> int:
    """Return the exit status of a sweep: 130 if a job was interrupted, otherwise the largest of all."""
    codes = {job.code for job in jobs}
    return INTERRUPTED if INTERRUPTED in codes else max(codes, default=DONE)


def print_table(jobs: Sequence[Job], folder: Path) -> None:
    """Print one row a job, and below the table why jobs have failed."""
    varying = _varying([job.overrides for job in jobs])
    table = Table("job", Column("overrides", overflow="fold"), "status", *COLUMNS)
    for job in jobs:
        shown = " ".join(each for each in job.overrides if each in varying)
        cells = [format_number(job.summary.get(key)) for key in COLUMNS]
        table.add_row(str(job.number), escape(shown), job.status, *cells)
    console = Console(file=sys.stdout)
    console.print(str(folder), markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    for job in jobs:
        if job.summary.get("error"):
            line = f"job {job.number}: {job.summary['error']}: {job.path / 'train.log'}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _varying(overrides: Sequence[Sequence[str]]) -> set[str]:
    """The overrides that not all jobs have; with a single job, those that define it."""
    sets = [set(defining_overrides(each)) for each in overrides]
    common = set.intersection(*sets) if len(sets) > 1 else set()
    return set().union(*sets) - common


def open_folder(named: Path | None, new: Path, identity: dict[str, Any], resume: bool) -> Path:
    """Make the sweep's folder, or find the one to continue, and write sweep.json.

    Args:
        named: the folder that was asked for; None for a new one, or with `resume` the newest of this sweep.
        new: the folder of a new sweep.
        identity: what makes this sweep this one; lists in it may grow at their ends.
        resume: whether a sweep may be continued.

    Raises:
        ConfigError: the folder contains something else, or cannot be written.
    """
    found = [path for path in new.parent.glob("*/sweep.json") if read_json(path) == identity]
    newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    folder = named or (newest.parent if resume and newest is not None else new)
    before = read_json(folder / "sweep.json")
    if before is not None and not resume:
        allowed = "contains a sweep: continue it with sweep.resume=true, or name another folder"
        raise ConfigError("hydra.sweep.dir", folder, allowed)
    free = not RunDirectory(folder).has_run()
    require(free, "hydra.sweep.dir", folder, "contains a run: name another folder for a sweep")
    for key, was in (before or {}).items():
        now = identity.get(key)
        # More seeds at the end of a sweep leave the jobs before them as they are.
        grown = isinstance(was, list) and isinstance(now, list) and now[: len(was)] == was
        allowed = f"contains another sweep: its {key} are {was}, these are {now}; name another folder"
        require(now == was or grown, "hydra.sweep.dir", folder, allowed)
    try:
        write_json(folder / "sweep.json", identity)
    except OSError as error:
        allowed = f"cannot be written ({os.strerror(error.errno or 0)}): name another folder"
        raise ConfigError("hydra.sweep.dir", folder, allowed) from None
    return folder
