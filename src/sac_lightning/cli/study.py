"""Optuna's study in a journal file: what was asked for and what came of it outlive the process."""

import os
from pathlib import Path

import optuna
from numpy.random import SeedSequence
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sac_lightning.cli.paths import quoted
from sac_lightning.cli.space import Space
from sac_lightning.core.files import DamagedFile

NAME = "search"
STATES = {"done": TrialState.COMPLETE, "failed": TrialState.FAIL, "pruned": TrialState.PRUNED}


class Study:
    """Trials by number, which is also the number of their job."""

    def __init__(self, journal: Path, direction: str, seed: int, startup_trials: int, at_once: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.journal, self.seed, self.startup_trials, self.at_once = journal, seed, startup_trials, at_once
        if journal.is_symlink():
            raise DamagedFile(journal, "is a link: remove it, or name another folder for the search")
        _drop_torn_line(journal)
        try:
            self._study = optuna.create_study(
                study_name=NAME,
                storage=JournalStorage(JournalFileBackend(str(journal))),
                direction=StudyDirection[direction.upper()],
                load_if_exists=True,
            )
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            told = f"is damaged ({type(error).__name__}): name another folder for a new search"
            raise DamagedFile(journal, told) from error

    def next_batch(self, space: Space, trials: int) -> list[int]:
        """The numbers of the trials to run next, in a row: first those that a stop has left half-done."""
        half_done = [each for each in self._study.trials if each.state == TrialState.RUNNING]
        waiting = [each.number for each in half_done if each.params.keys() == space.varying.keys()]
        for each in half_done:
            if each.number not in waiting:  # killed while it was being drawn
                self.tell(each.number, "failed", None)
        if waiting:
            row = [number for place, number in enumerate(waiting) if number == waiting[0] + place]
            return row[: self.at_once]
        left = trials - len(self._study.trials)
        return [self._ask(space) for _ in range(min(self.at_once, left))]

    def overrides(self, number: int) -> list[str]:
        """The arguments of a trial."""
        return [f"{key}={value}" for key, value in self._trial(number).params.items()]

    def pruning(self, number: int) -> list[str]:
        """The arguments that let a trial compare itself with the others."""
        target = "_target_:sac_lightning.training.callbacks.TrialPruner"
        return [f"+callbacks.pruner={{{target},journal:{quoted(str(self.journal))},trial:{number}}}"]

    def tell(self, number: int, how: str, value: float | None) -> None:
        """Record how a trial ended: done, failed or pruned."""
        self._study.tell(number, value, state=STATES[how])

    def numbers(self) -> list[int]:
        """Of all trials so far."""
        return [each.number for each in self._study.trials]

    def best(self) -> tuple[int, float] | None:
        """Number and value of the best trial that is done."""
        done = [each for each in self._study.trials if each.state == TrialState.COMPLETE]
        if not done:
            return None
        best = self._study.best_trial
        assert best.value is not None
        return best.number, best.value

    def _ask(self, space: Space) -> int:
        # A stream for each trial: a search that was interrupted proposes what it would have proposed.
        number = len(self._study.trials)
        seed = int(SeedSequence([self.seed, number]).generate_state(1)[0])
        self._study.sampler = TPESampler(
            seed=seed, n_startup_trials=self.startup_trials, constant_liar=self.at_once > 1
        )
        return self._study.ask(space.varying).number

    def _trial(self, number: int) -> FrozenTrial:
        return self._study.trials[number]


def _drop_torn_line(journal: Path) -> None:
    """What follows the last line's end was being written when the process was killed: nobody relies on it."""
    if journal.is_file():
        data = journal.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(journal, whole)
