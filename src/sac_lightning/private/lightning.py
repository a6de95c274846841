"""Undocumented parts of Lightning: the counters of its loops and what a ModelCheckpoint was given.

A resumed fit finds its epoch by these counters, so without one of them it ends with a MissingApi that names
it: it is never resumed inexactly. A new fit trains without them.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sac_lightning.private import MissingApi, PrivateApi, warn_if_missing

if TYPE_CHECKING:
    from pytorch_lightning import Trainer
    from pytorch_lightning.callbacks import ModelCheckpoint
else:  # of either package: training/lightning_package.py
    Trainer = ModelCheckpoint = Any

_LOOPS = "pytorch_lightning.loops"
_EPOCH_LOOP = f"{_LOOPS}.training_epoch_loop._TrainingEpochLoop"
_NO_RESUME = "a new run trains, but none can be resumed"
_NO_STEPS = "trainer.global_step stays at 0 and options that count its steps do nothing"
_CALLBACK = "pytorch_lightning.callbacks.ModelCheckpoint"

EPOCH_PROGRESS = PrivateApi(
    f"{_LOOPS}.fit_loop._FitLoop.epoch_progress", "completes an epoch that a stop cut short", _NO_RESUME
)
RESTARTED_MID_EPOCH = PrivateApi(
    f"{_LOOPS}.fit_loop._FitLoop.restarted_mid_epoch", EPOCH_PROGRESS.purpose, _NO_RESUME
)
RESET_RESTART_STAGE = PrivateApi(
    f"{_LOOPS}.fit_loop._FitLoop.reset_restart_stage", EPOCH_PROGRESS.purpose, _NO_RESUME
)
RESTARTED_ON_BATCH_END = PrivateApi(
    f"{_EPOCH_LOOP}.restarted_on_train_batch_end", EPOCH_PROGRESS.purpose, _NO_RESUME
)
BATCH_PROGRESS = PrivateApi(f"{_EPOCH_LOOP}.batch_progress", EPOCH_PROGRESS.purpose, _NO_RESUME)
MANUAL_OPTIMIZATION = PrivateApi(
    f"{_EPOCH_LOOP}.manual_optimization", "counts gradient updates in trainer.global_step", _NO_STEPS
)
OPTIM_STEP_PROGRESS = PrivateApi(
    f"{_LOOPS}.optimization.manual._ManualOptimization.optim_step_progress",
    MANUAL_OPTIMIZATION.purpose,
    _NO_STEPS,
)
MAX_STEPS = PrivateApi(
    f"{_EPOCH_LOOP}.max_steps",
    "lets a batch of fast_dev_run have several updates",
    "a fit with fast_dev_run may end before its evaluation",
)
EVERY_N_TRAIN_STEPS = PrivateApi(
    f"{_CALLBACK}._every_n_train_steps",
    "ends a batch where a checkpoint is due",
    "a checkpoint by steps comes after the batch of up to 32 updates in which it is due",
)
TRAIN_TIME_INTERVAL = PrivateApi(
    f"{_CALLBACK}._train_time_interval",
    "refuses ModelCheckpoint(train_time_interval=...), which Lightning ignores here",
    "that option is ignored without a message",
)
PRIVATE_APIS = (
    *(EPOCH_PROGRESS, RESTARTED_MID_EPOCH, RESET_RESTART_STAGE, RESTARTED_ON_BATCH_END, BATCH_PROGRESS),
    *(MANUAL_OPTIMIZATION, OPTIM_STEP_PROGRESS, MAX_STEPS, EVERY_N_TRAIN_STEPS, TRAIN_TIME_INTERVAL),
)


def count_updates(trainer: Trainer, updates: int) -> None:
    """Counts `updates` in `trainer.global_step`. A wrapped `optimizer.step()` would, for 0.1 ms each."""
    with warn_if_missing():
        progress = OPTIM_STEP_PROGRESS.read(MANUAL_OPTIMIZATION.read(trainer.fit_loop.epoch_loop))
        for counted in (progress.total, progress.current):
            counted.ready += updates
            counted.completed += updates


def limit_batches_alone(trainer: Trainer) -> None:
    """Takes the limit of updates from a fit with `fast_dev_run=n`, which stops after n batches.

    Lightning allows n updates too: a batch of several would end the fit before its evaluation.
    """
    loop = trainer.fit_loop.epoch_loop
    if hasattr(loop, MAX_STEPS.attribute):
        loop.max_steps = -1
    else:
        MAX_STEPS.warn()


def start_epoch(trainer: Trainer, *, continues: bool) -> None:
    """Starts a fit with an epoch of its own, wherever the one before it ended.

    The loader has what is left of an epoch. Lightning would count those batches of it that an earlier fit
    made as well, and end the epoch that much too early.

    Args:
        continues: whether the fit resumes a run. Then a missing counter raises MissingApi.
    """
    loop = trainer.fit_loop
    try:
        restarted = RESTARTED_MID_EPOCH.read(loop)
        on_batch_end, reset = RESTARTED_ON_BATCH_END.read(loop.epoch_loop), RESET_RESTART_STAGE.read(loop)
        counters = _epochs(trainer)
        if restarted and _is_last_batch(trainer) and not on_batch_end:
            return  # saved with the evaluation, after all batches: Lightning completes this epoch
    except MissingApi as error:
        if continues:
            raise
        error.api.warn()
        return
    for epochs in counters:
        epochs.ready = epochs.started = epochs.completed = epochs.processed
    loop.epoch_loop.restarting = False
    reset()


def saved_epochs(content: dict[str, Any]) -> int:
    """Returns how many epochs the fit had completed that saved `content`, a checkpoint.

    Raises KeyError or TypeError where it does not say.
    """
    return int(content["loops"]["fit_loop"][EPOCH_PROGRESS.attribute]["current"]["processed"])


def settle_epochs(trainer: Trainer) -> None:
    """Before a fit asks for its first loader: an epoch that was taken back is not completed either."""
    with warn_if_missing():
        for epochs in _epochs(trainer):
            epochs.completed = min(epochs.completed, epochs.processed)


def take_back_epoch(trainer: Trainer) -> None:
    """Does not count the present epoch: it is unfinished, and the next fit completes it."""
    with warn_if_missing():
        counters, batches = _epochs(trainer), BATCH_PROGRESS.read(trainer.fit_loop.epoch_loop)
        for epochs in counters:
            epochs.processed -= 1
        batches.is_last_batch = False


def at_last_batch(trainer: Trainer) -> bool:
    """Returns whether the present batch is the last of its epoch; True where Lightning does not say."""
    is_last = True
    with warn_if_missing():
        is_last = _is_last_batch(trainer)
    return is_last


def step_options(callback: ModelCheckpoint) -> tuple[timedelta | None, int]:
    """Returns `train_time_interval` and `every_n_train_steps` of a ModelCheckpoint; None and 0 if not set."""
    interval, steps = None, 0
    with warn_if_missing():
        interval = TRAIN_TIME_INTERVAL.read(callback)
    with warn_if_missing():
        steps = int(EVERY_N_TRAIN_STEPS.read(callback) or 0)
    return interval, steps


def _is_last_batch(trainer: Trainer) -> bool:
    return bool(BATCH_PROGRESS.read(trainer.fit_loop.epoch_loop).is_last_batch)


def _epochs(trainer: Trainer) -> tuple[Any, Any]:
    progress = EPOCH_PROGRESS.read(trainer.fit_loop)
    return progress.total, progress.current
