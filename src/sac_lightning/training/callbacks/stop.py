"""Callbacks that end a run early: on a signal, after a time limit, or as a trial that has fallen behind."""

import logging
import math
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from typing_extensions import override

from sac_lightning.core.ranks import Ranks
from sac_lightning.training.datamodule import data_of
from sac_lightning.training.lightning_package import Callback, LightningModule, Trainer
from sac_lightning.training.trainer_options import ranks_of

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
MONITOR = "eval/return_mean"
Reason = Literal["paused", "interrupted"]
REASONS: tuple[Reason, ...] = ("paused", "interrupted")


class GracefulStop(Callback):
    """Ends the epoch early on a signal or a time limit, and lets a checkpoint be written as usual.

    The epoch ends after the present iteration, an evaluation after its present step. A resumed run completes
    the epoch and runs its evaluation from the first episode on, so it is bit-identical to one that was never
    stopped. A second SIGINT or SIGTERM ends the process at once; the last checkpoint stays whole. `reason`
    says afterwards what stopped the run, `received` which signals came.

    On several devices it is enough that one rank is to stop: all end after the same batch.

    Args:
        max_seconds: the time limit of a fit; None for none.
        signals: those that end it. Once another one than SIGINT and SIGTERM has come, no further signal ends
            the process: a scheduler sends several.
    """

    def __init__(self, max_seconds: float | None = None, signals: Sequence[int] = SIGNALS) -> None:
        self.reason: Reason | None = None
        self.received: list[int] = []
        self._signals = tuple(signals)
        self._max_seconds = math.inf if max_seconds is None else max_seconds
        self._ends_at = math.inf
        self._before: dict[int, Any] = {}
        self._installed = False
        self._trainer: Trainer | None = None
        self._between_epochs = False
        self._ranks: Ranks | None = None
        self._asked: Reason | None = None  # of this rank, before all have agreed

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.reason, self._between_epochs, self.received = None, False, []
        self._ranks, self._asked = ranks_of(trainer), None
        # Those of before: Lightning has put its own away again when `teardown` comes.
        self._before = {each: signal.getsignal(each) for each in self._signals}
        self._installed = False
        self._ends_at = time.monotonic() + self._max_seconds

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not earlier: Lightning then puts its own SIGTERM handler over ours, and ends the epoch unsaved.
        self._trainer = trainer
        data_of(trainer).stop_requested = self._requested
        for each in self._signals:
            signal.signal(each, self._signalled)
        self._installed = True

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._between_epochs = False
        if self.reason is not None:  # it came while Lightning was on its way here
            trainer.should_stop = False
            self._end(self.reason)

    @override
    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self._requested()
        self._agree()

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Only here: `should_stop` within an epoch would make Lightning run an evaluation that an
        # uninterrupted run does not have.
        self._between_epochs = True
        self._agree()
        if self.reason is not None:
            trainer.should_stop = True

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for each, handler in self._before.items() if self._installed else ():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
        self._installed = False

    def _requested(self) -> bool:
        """Whether the run is to stop: a signal came, or its time is over."""
        if self._asked is None and time.monotonic() >= self._ends_at:
            log.warning("max_time is over: saving a checkpoint, then stopping")
            self._ask("paused")
        return self._asked is not None

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if self._asked is not None:
            if set(self.received) <= set(SIGNALS):
                raise KeyboardInterrupt
            return
        log.warning("%s: saving a checkpoint, then stopping (again: at once)", signal.Signals(number).name)
        self._ask("interrupted")

    def _ask(self, reason: Reason) -> None:
        self._asked = reason
        if self._ranks is None:
            self._end(reason)

    def _agree(self) -> None:
        """End on all ranks what one of them wants to end."""
        if self._ranks is not None and self.reason is None:
            asked = self._ranks.largest(0 if self._asked is None else 1 + REASONS.index(self._asked))
            if asked:
                self._asked = REASONS[asked - 1]
                self._end(self._asked)

    def _end(self, reason: Reason) -> None:
        self.reason = reason
        assert self._trainer is not None
        if self._between_epochs:  # the checkpoint is being written
            self._trainer.should_stop = True
        data_of(self._trainer).end_epoch_early()


class TrialPruner(Callback):
    """Reports each evaluation to Optuna's journal; ends the run below the median of the others at that step.

    `reason` says afterwards whether this run was pruned.

    Args:
        journal: Optuna's journal file.
        trial: number of this run's trial.
        startup_trials: trials that must have ended before any is pruned.
        warmup_evaluations: evaluations of a run before which it is not pruned.
    """

    def __init__(
        self, journal: str | Path, trial: int, startup_trials: int = 3, warmup_evaluations: int = 2
    ) -> None:
        self.reason: Literal["pruned"] | None = None
        self._journal, self._number = Path(journal), trial
        self._startup, self._warmup = startup_trials, warmup_evaluations

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = data_of(trainer)
        if MONITOR not in trainer.callback_metrics or data.epoch_cut_short:
            return
        value = float(trainer.callback_metrics[MONITOR])
        if self._is_behind(data.env_steps, value):
            self.reason = "pruned"
            trainer.should_stop = True

    def _is_behind(self, env_steps: int, value: float) -> bool:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        storage = JournalStorage(JournalFileBackend(str(self._journal)))
        study = optuna.load_study(
            study_name=None,
            storage=storage,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=self._startup),
        )
        study_id = storage.get_study_id_from_name(study.study_name)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, self._number)
        trial = optuna.trial.Trial(study, trial_id)
        trial.report(value, env_steps)
        evaluations = len(study.trials[self._number].intermediate_values)
        return evaluations > self._warmup and trial.should_prune()
