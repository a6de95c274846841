"""`hparams_search=optuna`: trials that Optuna proposes, run by Hydra's launcher, kept in a journal file."""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sac_lightning.cli.results import JobResult, tell
from sac_lightning.cli.space import Space
from sac_lightning.cli.status import DONE, FAILED, SweepEnded
from sac_lightning.cli.study import Study
from sac_lightning.cli.sweep import Multirun
from sac_lightning.cli.sweepfolder import SweepFolder, told_apart
from sac_lightning.core.errors import as_whole, did_you_mean, require, whole
from sac_lightning.core.files import write_json

# The numbers of summary.json.
MEASURES = (
    *("best_return_mean", "eval_return_mean", "eval_return_std", "alpha", "entropy", "target_entropy"),
    *("env_steps", "grad_steps", "env_steps_per_s", "wall_time_s", "eval_episodes", "seed", "exit_status"),
)
DIRECTIONS = ("maximize", "minimize")
EVALUATED = ("best_return_mean", "eval_return_mean", "eval_return_std")
PRUNABLE = ("best_return_mean", "eval_return_mean")


@dataclass(frozen=True)
class Search:
    """What is looked for, among what, and for how long."""

    metric: str = "best_return_mean"
    direction: str = "maximize"
    trials: int = 20
    startup_trials: int = 5
    seed: int = 0
    prune: bool = False
    params: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        allowed = f"must be a number of summary.json: {', '.join(MEASURES)}."
        known = self.metric in MEASURES
        self._require("metric", known, allowed + did_you_mean(str(self.metric), MEASURES))
        self._require("direction", self.direction in DIRECTIONS, "must be maximize or minimize")
        for key in ("trials", "startup_trials", "seed"):
            object.__setattr__(self, key, as_whole(getattr(self, key)))
        self._require("trials", whole(self.trials) >= 1, "must be a whole number of at least 1")
        first = whole(self.startup_trials)
        self._require("startup_trials", first >= 1, "must be a whole number of at least 1")
        self._require("seed", whole(self.seed) >= 0, "must be a whole number of at least 0")
        can = self.prune is False or (
            self.prune is True and self.metric in PRUNABLE and self.direction == "maximize"
        )
        self._require("prune", can, f"must be false, or true where {' or '.join(PRUNABLE)} is maximized")

    def _require(self, key: str, ok: bool, allowed: str) -> None:
        require(ok, f"hydra.sweeper.{key}", getattr(self, key), allowed)


def run_search(multirun: Multirun, arguments: list[str], search: Search) -> list[dict[str, Any]]:
    """The summaries of all trials. Raises ConfigError before any begins, SweepEnded if none is done."""
    given = [f"{key}={value}" for key, value in search.params.items()]
    space = Space.of(multirun.parse([*given, *arguments]))
    evaluates = search.metric in EVALUATED and "eval_episodes=0" in space.fixed
    told = f"hydra.sweeper.metric={search.metric} is an evaluation's: evaluate, or search for another"
    require(not evaluates, "eval_episodes", 0, told)
    shares = multirun.share(search.trials)
    multirun.subfolder(0, space.example())
    identity = {key: value for key, value in asdict(search).items() if key not in ("trials", "params")}
    folder = multirun.open_folder({**identity, "space": space.told, "fixed": told_apart(space.fixed)})
    journal = folder.path / "search.log"
    study = Study(journal, search.direction, search.seed, search.startup_trials, shares.at_once)
    return _Trials(multirun, search, space, folder, study).to_the_end()


@dataclass(frozen=True)
class _Trials:
    multirun: Multirun
    search: Search
    space: Space
    folder: SweepFolder
    study: Study

    def to_the_end(self) -> list[dict[str, Any]]:
        try:
            for batch in iter(lambda: self.study.next_batch(self.space, self.search.trials), []):
                self._run(batch)
        finally:
            results = self._results()
            tell(results, self.folder.path)
        self._tell_best(results)
        return [result.summary for result in results]

    def _run(self, numbers: Sequence[int]) -> None:
        jobs = [self._job(number) for number in numbers]
        paths = [self._path(number, job) for number, job in zip(numbers, jobs, strict=True)]
        code = self.multirun.launch(jobs, numbers[0], paths)
        for number in numbers:
            self.study.tell(number, *self._outcome(number))
        if code != DONE:
            raise SweepEnded(code)

    def _job(self, number: int) -> list[str]:
        job = [*self.space.fixed, *self.study.overrides(number)]
        return [*job, *self.study.pruning(number)] if self.search.prune else job

    def _outcome(self, number: int) -> tuple[str, float | None]:
        """How trial `number` ended, and its value if it has one."""
        result = self._result(number)
        value = result.summary.get(self.search.metric)  # NaN is written as null
        if result.status == "pruned":
            return "pruned", None
        if result.status != "done" or not isinstance(value, int | float) or not math.isfinite(value):
            return "failed", None
        return "done", float(value)

    def _result(self, number: int) -> JobResult:
        job = self._job(number)
        return JobResult.read(number, job, self._path(number, job))

    def _path(self, number: int, job: Sequence[str]) -> Path:
        return self.folder.path / self.multirun.subfolder(number, job)

    def _results(self) -> list[JobResult]:
        return [self._result(number) for number in self.study.numbers()]

    def _tell_best(self, results: Sequence[JobResult]) -> None:
        best = self.study.best()
        if best is None:
            print("no trial has come to an end with a finite value", file=sys.stderr)
            raise SweepEnded(FAILED)
        number, value = best
        place: Path = results[number].path
        told = {"trial": number, "metric": self.search.metric, "value": value}
        overrides = self.study.overrides(number)
        write_json(self.folder.path / "best.json", {**told, "overrides": overrides, "run": place.name})
        print(f"best: trial {number}, {self.search.metric} {value:,.4g}: {' '.join(overrides)}")
