"""`hparams_search=optuna`: trials that Optuna proposes, run by Hydra's launcher, kept in a journal file.

Trial n is job n. What was proposed, and how it ended, outlives the process.
"""

import math
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import optuna
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from numpy.random import SeedSequence
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sac_lightning.cli.command_line import DONE, FAILED, SweepEnded, quoted
from sac_lightning.cli.sweep.jobs import Job, defining_overrides, print_table
from sac_lightning.cli.sweep.multirun import Multirun
from sac_lightning.core.errors import ConfigError, did_you_mean, require
from sac_lightning.core.fields import Whole, check_fields
from sac_lightning.core.files import DamagedFile, write_json

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
    """The options of a search: conf/hydra/sweeper/optuna.yaml explains each."""

    metric: str = "best_return_mean"
    direction: str = "maximize"
    trials: Annotated[int, Whole("[1, inf)")] = 20
    startup_trials: Annotated[int, Whole("[1, inf)")] = 5
    seed: Annotated[int, Whole("[0, inf)")] = 0
    prune: bool = False
    params: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, "hydra.sweeper")
        allowed = f"must be a number of summary.json: {', '.join(MEASURES)}."
        known = self.metric in MEASURES
        self._require("metric", known, allowed + did_you_mean(str(self.metric), MEASURES))
        self._require("direction", self.direction in DIRECTIONS, "must be maximize or minimize")
        prunable = self.metric in PRUNABLE and self.direction == "maximize"
        self._require(
            "prune",
            prunable or not self.prune,
            f"must be false, or true where {' or '.join(PRUNABLE)} is maximized",
        )

    def _require(self, key: str, ok: bool, allowed: str) -> None:
        require(ok, f"hydra.sweeper.{key}", getattr(self, key), allowed)


class Space:
    """What varies, as Optuna's distributions; what does not, as overrides of every trial.

    Of several overrides of one key the last one counts. Raises ConfigError when nothing varies.
    """

    def __init__(self, overrides: Iterable[Override]) -> None:
        last = {override.get_key_element(): override for override in overrides}
        sweeps = {key: each for key, each in last.items() if each.is_sweep_override()}
        if not sweeps:
            allowed = "nothing to search for: give one argument as choice(a,b) or interval(0.1,1)"
            raise ConfigError("hydra.sweeper.params", {}, allowed)
        self.varying = {key: _distribution(key, each) for key, each in sweeps.items()}
        self.written = {key: _written(each) for key, each in sweeps.items()}
        self.fixed = [
            f"{key}={each.get_value_element_as_str()}" for key, each in last.items() if key not in sweeps
        ]

    def example(self) -> list[str]:
        """Return the overrides of one trial, to see whether trials can be composed at all."""
        firsts = {
            key: each.choices[0] if isinstance(each, CategoricalDistribution) else vars(each)["low"]
            for key, each in self.varying.items()
        }
        return [*self.fixed, *(f"{key}={value}" for key, value in firsts.items())]


def _written(override: Override) -> str:
    return str(override.input_line).partition("=")[2]


def _distribution(key: str, override: Override) -> BaseDistribution:
    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        low, high = float(value.start or 0), float(value.end or 0)
        ok = low < high and (low > 0.0 or "log" not in value.tags)
        allowed = "must go from a smaller to a larger number, both above 0 with tag(log, ...)"
        require(ok, key, _written(override), allowed)
        return FloatDistribution(low, high, log="log" in value.tags)
    if isinstance(value, RangeSweep):
        start, stop, step = value.start, value.stop, value.step or 1
        if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
            values = range(start, stop, step)
            return IntDistribution(values[0], values[-1], step=step)
    if isinstance(value, ChoiceSweep | RangeSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    raise ConfigError(key, _written(override), "is no choice, range or interval")


def run_search(multirun: Multirun, arguments: list[str], search: Search) -> list[dict[str, Any]]:
    """Run all trials and return their summaries.

    Raises ConfigError before any trial, SweepEnded afterwards if none is done.
    """
    given = [f"{key}={value}" for key, value in search.params.items()]
    space = Space(multirun.parse([*given, *arguments]))
    evaluates = search.metric not in EVALUATED or "eval_episodes=0" not in space.fixed
    allowed = f"hydra.sweeper.metric={search.metric} is an evaluation's: evaluate, or search for another"
    require(evaluates, "eval_episodes", 0, allowed)
    at_once = multirun.share(search.trials).at_once
    multirun.subfolder(0, space.example())
    identity = {key: value for key, value in asdict(search).items() if key not in ("trials", "params")}
    fixed = defining_overrides(space.fixed)
    folder = multirun.open_folder({**identity, "space": space.written, "fixed": fixed})
    return _Trials(multirun, search, space, folder, at_once).run()


class _Trials:
    def __init__(self, multirun: Multirun, search: Search, space: Space, folder: Path, at_once: int) -> None:
        self.multirun, self.search, self.space, self.folder = multirun, search, space, folder
        self.at_once = at_once
        self.journal = folder / "search.log"
        self.study = _open_study(self.journal, search.direction)

    def run(self) -> list[dict[str, Any]]:
        try:
            while batch := self._next_batch():
                jobs = [self._job(number) for number in batch]
                code = self.multirun.launch(jobs)
                for job in jobs:
                    self._record(job)
                if code != DONE:
                    raise SweepEnded(code)
        finally:
            jobs = [self._job(trial.number) for trial in self.study.trials]
            print_table(jobs, self.folder)
        if not any(trial.state == TrialState.COMPLETE for trial in self.study.trials):
            print("no trial has come to an end with a finite value", file=sys.stderr)
            raise SweepEnded(FAILED)
        best = self.study.best_trial
        overrides = _overrides(best)
        found = {"trial": best.number, "metric": self.search.metric, "value": best.value}
        place = jobs[best.number].path.name
        write_json(self.folder / "best.json", {**found, "overrides": overrides, "run": place})
        value = f"{self.search.metric} {best.value:,.4g}"
        print(f"best: trial {best.number}, {value}: {' '.join(overrides)}")
        return [job.summary for job in jobs]

    def _next_batch(self) -> Sequence[int]:
        """The numbers of the trials to run next, consecutive: first those that a stop has left half-done."""
        waiting = []
        for trial in self.study.trials:
            if trial.state == TrialState.RUNNING:
                if trial.params.keys() == self.space.varying.keys():
                    waiting.append(trial.number)
                else:  # killed while it was being drawn
                    self.study.tell(trial.number, state=TrialState.FAIL)
        if waiting:
            row = [number for place, number in enumerate(waiting) if number == waiting[0] + place]
            return row[: self.at_once]
        left = self.search.trials - len(self.study.trials)
        return [self._ask() for _ in range(min(self.at_once, left))]

    def _ask(self) -> int:
        # A stream for each trial: a search that was interrupted proposes what it would have proposed.
        seed = SeedSequence([self.search.seed, len(self.study.trials)]).generate_state(1)[0]
        self.study.sampler = TPESampler(
            seed=int(seed),
            n_startup_trials=self.search.startup_trials,
            constant_liar=self.at_once > 1,
        )
        return self.study.ask(self.space.varying).number

    def _job(self, number: int) -> Job:
        overrides = [*self.space.fixed, *_overrides(self.study.trials[number])]
        if self.search.prune:  # the trial compares itself with the others
            target = "_target_:sac_lightning.training.callbacks.TrialPruner"
            arguments = f"{target},journal:{quoted(str(self.journal))},trial:{number}"
            overrides.append(f"+callbacks.pruner={{{arguments}}}")
        return Job(number, overrides, self.folder / self.multirun.subfolder(number, overrides))

    def _record(self, job: Job) -> None:
        value = job.summary.get(self.search.metric)  # NaN is written as null
        if job.status == "pruned":
            self.study.tell(job.number, state=TrialState.PRUNED)
        elif job.status == "done" and isinstance(value, int | float) and math.isfinite(value):
            self.study.tell(job.number, float(value))
        else:
            self.study.tell(job.number, state=TrialState.FAIL)


def _overrides(trial: FrozenTrial) -> list[str]:
    return [f"{key}={value}" for key, value in trial.params.items()]


def _open_study(journal: Path, direction: str) -> optuna.Study:
    """The study in `journal`, new or continued. Raises DamagedFile where that is not possible."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if journal.is_symlink():
        raise DamagedFile(journal, "is a link: remove it, or name another folder for the search")
    if journal.is_file():  # what follows the last line's end was being written when the process was killed
        data = journal.read_bytes()
        if not data.endswith(b"\n"):
            os.truncate(journal, data.rfind(b"\n") + 1)
    try:
        return optuna.create_study(
            study_name="search",
            storage=JournalStorage(JournalFileBackend(str(journal))),
            direction=StudyDirection[direction.upper()],
            load_if_exists=True,
        )
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        reason = f"is damaged ({type(error).__name__}): name another folder for a new search"
        raise DamagedFile(journal, reason) from error
