"""Jobs through a launcher that may fail in their midst: those that it took with it are launched again."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf

from sac_lightning.cli.results import JobResult
from sac_lightning.cli.rundir import RunDirectory
from sac_lightning.cli.status import DONE, ENDED, FAILED
from sac_lightning.cli.sweepfolder import told_apart

KILLED = "the worker process ended unexpectedly"


class LauncherFailed(Exception):
    """The launcher has come back without its jobs, told in one line."""


@dataclass(frozen=True)
class Launched:
    """A job that is launched, and what its folder held before."""

    number: int
    overrides: Sequence[str]
    path: Path
    before: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", self._written())

    @property
    def begun(self) -> bool:
        """Whether it has written anything; a job that was done already does not."""
        return self._written() != self.before

    @property
    def ended(self) -> bool:
        """Whether its summary.json is this time's, or needs no other."""
        return self._written()[1] != self.before[1] or self._result().status in ENDED

    def fail(self) -> None:
        """Write the summary that it could not write."""
        directory = RunDirectory(self.path)
        config = OmegaConf.load(directory.config) if directory.config.is_file() else OmegaConf.create()
        summary = {
            "status": "failed",
            "exit_status": FAILED,
            "error": KILLED,
            "overrides": told_apart(list(self.overrides)),
            "env_id": OmegaConf.select(config, "env.id"),
            "seed": OmegaConf.select(config, "seed"),
        }
        directory.write_summary(summary)

    def _result(self) -> JobResult:
        return JobResult.read(self.number, self.overrides, self.path)

    def _written(self) -> tuple[int, int]:
        """When config.yaml, a job's first file, and summary.json, its last, were written; 0: never."""
        directory = RunDirectory(self.path)
        first, last = (
            each.stat().st_mtime_ns if each.is_file() else 0 for each in (directory.config, directory.summary)
        )
        return first, last


# Runs jobs with numbers in a row; its answer is an exit status. Raises LauncherFailed.
Launch = Callable[[Sequence[Launched]], int]


def launch_all(launch: Launch, jobs: Sequence[Launched]) -> int:
    """Every job to its end; the worst exit status, FAILED if the launcher failed without a job having begun.

    A pool ends all its workers when one dies, and does not say which was at fault: each job that was taken
    along goes on once more, alone, and has failed if its worker dies again.
    """
    codes, waiting, broken = [DONE], list(jobs), False
    while waiting:
        try:
            for row in _rows(waiting):
                codes.append(launch(row))
            break
        except LauncherFailed as error:
            print(f"error: the launcher failed: {error}", file=sys.stderr)
        broken = True
        if not any(job.begun for job in waiting):
            codes.append(FAILED)
            break
        waiting = [job for job in waiting if not (job.begun or job.ended)]
    if broken:
        codes += [_again(launch, job) for job in jobs if job.begun and not job.ended]
    return max(codes)


def _again(launch: Launch, job: Launched) -> int:
    print(f"job {job.number} goes on alone", file=sys.stderr)
    code = FAILED
    with suppress(LauncherFailed):
        code = launch([job])
    if not job.ended:
        job.fail()
    return code


def _rows(jobs: Sequence[Launched]) -> Iterator[list[Launched]]:
    """Parts with numbers in a row: a launcher takes a first number."""
    row: list[Launched] = []
    for job in jobs:
        if row and job.number != row[-1].number + 1:
            yield row
            row = []
        row.append(job)
    if row:
        yield row
