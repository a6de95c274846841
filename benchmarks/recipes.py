"""Runs of train.py that end at an evaluation and go on where they were stopped."""

import argparse
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from gate import versions
from tables import Row, Table

from sac_lightning.training.loggers import read_metrics

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("recipe", "env", "seed", "env_steps", "minutes", "return_mean", "versions", "commit", "command")
PACKAGES = ("sac-lightning", "torch", "gymnasium")
POLL_SECONDS = 2.0
# The last: a signal found it on its way out, after its last checkpoint.
ENDED = (0, 130, -signal.SIGTERM)


class Point(NamedTuple):
    """An evaluation of a run."""

    env_steps: int
    minutes: float  # of training, evaluations left out
    return_mean: float


@dataclass(frozen=True)
class Run:
    """One run of a recipe, which is a name and arguments of train.py."""

    recipe: str
    arguments: tuple[str, ...]
    env: str
    seed: int

    @property
    def name(self) -> str:
        """A folder's name."""
        return re.sub(r"[^\w.=-]+", "_", f"{self.recipe}_{self.env}_seed{self.seed}")

    def is_of(self, row: Row) -> bool:
        """Whether a row of a table belongs to this run."""
        return (row["recipe"], row["env"], row["seed"]) == (self.recipe, self.env, str(self.seed))


class Runs:
    """Makes runs and keeps the evaluations of each as rows of a table.

    A run ends by a signal, not by a smaller total_env_steps, which would change what schedules of the
    learning rate do. So it can also go on later, to a larger goal.

    Args:
        table: with COLUMNS.
        folder: where runs are.
        how: arguments of all runs.
    """

    def __init__(self, table: Table, folder: Path, how: tuple[str, ...]) -> None:
        self.table, self.folder, self.how = table, folder, how
        self.has_minutes = True  # whether rows have the minutes of training, which other work makes longer

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """Returns the runs of a command line that `parser_of` has read."""
        how = ("logger=csv", f"threads={arguments.threads}", f"steps_per_epoch={arguments.every}")
        return cls(Table(arguments.results, COLUMNS), arguments.runs_dir, how)

    def make(self, runs: Iterable[Run], enough: Callable[[Point], bool], jobs: int) -> int:
        """Makes the runs of which no evaluation is `enough`, `jobs` at a time. Returns how many failed."""
        missing = [run for run in runs if not any(map(enough, self.points(run)))]
        print(f"{len(missing)} runs to make", flush=True)
        failed = 0
        pool = ThreadPoolExecutor(jobs)
        try:
            running = {pool.submit(self._train, run, enough): run for run in missing}
            for done in as_completed(running):
                run = running[done]
                if error := done.exception():
                    failed += 1
                    print(f"{run.name}: failed: {error}", flush=True)
                self._record(run)
        finally:
            pool.shutdown(cancel_futures=True)
        return failed

    def points(self, run: Run) -> list[Point]:
        """Returns the evaluations of a run that are in the table."""
        rows = [row for row in self.table.rows if run.is_of(row)]
        return [
            Point(int(row["env_steps"]), float(row["minutes"] or "nan"), float(row["return_mean"]))
            for row in rows
        ]

    def command(self, run: Run) -> str:
        """Returns what a user types for `run`."""
        return " ".join(["python train.py", *self.arguments(run)])

    def versions_of(self, run: Run) -> str:
        """Returns the versions of what trains."""
        return versions(PACKAGES)

    def arguments(self, run: Run) -> list[str]:
        """Returns the arguments of train.py."""
        return [*run.arguments, f"env={run.env}", f"seed={run.seed}", *self.how]

    def _train(self, run: Run, enough: Callable[[Point], bool]) -> None:
        """Trains until an evaluation is `enough`. Raises RuntimeError with the end of what was printed."""
        folder = self.folder / run.name
        begun = (folder / "config.yaml").is_file()
        arguments = [f"resume={folder}"] if begun else [*self.arguments(run), f"hydra.run.dir={folder}"]
        self._run([sys.executable, str(ROOT / "train.py"), *arguments], run, enough)

    def _run(self, line: list[str], run: Run, enough: Callable[[Point], bool]) -> None:
        folder = self.folder / run.name
        self.folder.mkdir(parents=True, exist_ok=True)
        printed = self.folder / f"{run.name}.txt"
        with printed.open("w", encoding="utf-8") as out:
            process = subprocess.Popen(line, stdout=out, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None and not any(map(enough, evaluations(folder))):
                    time.sleep(POLL_SECONDS)
            finally:
                process.terminate()  # it saves a checkpoint
                process.wait()
        if process.returncode not in ENDED:
            last = printed.read_text(encoding="utf-8").splitlines()[-15:]
            raise RuntimeError("\n".join([f"exit status {process.returncode}", *last]))

    def _record(self, run: Run) -> None:
        known = {point.env_steps for point in self.points(run)}
        points = evaluations(self.folder / run.name)
        what = {"recipe": run.recipe, "env": run.env, "seed": run.seed}
        how = {"versions": self.versions_of(run), "commit": commit(), "command": self.command(run)}
        if not self.has_minutes:
            points = [point._replace(minutes=float("nan")) for point in points]
        # Rows that are there keep the commit that made them.
        self.table.add({**what, **point._asdict(), **how} for point in points if point.env_steps not in known)
        if points:
            last = points[-1]
            shown = f"{last.return_mean:.1f} at {last.env_steps:,} env steps, {last.minutes:.1f} min"
            print(f"{run.name}: {shown}", flush=True)


def commit() -> str:
    """Returns the commit that is checked out, shortened."""
    line = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def evaluations(folder: Path) -> list[Point]:
    """Returns the evaluations of the run in `folder`, with the minutes that it had trained by then."""
    file = folder / "metrics.csv"
    if not file.is_file():
        return []
    metrics = read_metrics(file)
    unknown = np.full(len(metrics["env_steps"]), np.nan)
    steps, returns = metrics["env_steps"], metrics.get("eval/return_mean", unknown)
    seconds = np.nancumsum(np.diff(steps, prepend=0.0) / metrics.get("time/env_steps_per_s", unknown))
    known = np.flatnonzero(np.isfinite(returns))
    return [Point(int(steps[i]), float(seconds[i]) / 60.0, float(returns[i])) for i in known]


def all_runs(recipes: dict[str, tuple[str, ...]], envs: Iterable[str], seeds: Iterable[int]) -> Iterator[Run]:
    """Yields every recipe on every env, seed by seed: whoever stops early has compared all on some seeds."""
    for seed in seeds:
        for env in envs:
            for name, arguments in recipes.items():
                yield Run(name, arguments, env, seed)


def parser_of(description: str | None, name: str, threads: str) -> argparse.ArgumentParser:
    """Returns a parser with the options of all such benchmarks; `name` is that of the table."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=["halfcheetah"], help="files of conf/env")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--every", type=int, default=5_000, help="env steps between two evaluations")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--threads", default=threads, help="CPU threads of each run, or auto")
    parser.add_argument("--table-only", action="store_true", help="make no run, show what there is")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / f"{name}.csv")
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs" / "benchmarks" / name)
    return parser
