"""Ending a trial of a search early."""

from pathlib import Path
from typing import Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from typing_extensions import override

from sac_lightning.training.datamodule import data_of

MONITOR = "eval/return_mean"


class TrialPruner(Callback):
    """Reports each evaluation to Optuna's journal; ends the run below the median of the others at that step.

    Nothing is cut before `startup_trials` trials have ended, and not within the first
    `warmup_evaluations` evaluations. `reason` tells afterwards whether this run was.
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

        study = optuna.load_study(
            study_name=None,
            storage=JournalStorage(JournalFileBackend(str(self._journal))),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=self._startup),
        )
        trial = optuna.trial.Trial(study, study.trials[self._number]._trial_id)
        trial.report(value, env_steps)
        evaluations = len(study.trials[self._number].intermediate_values)
        return evaluations > self._warmup and trial.should_prune()
