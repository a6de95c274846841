"""Lightning's counts of batches, epochs and steps, made to agree with env steps and gradient updates."""

import math
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sac_lightning.private import lightning
from sac_lightning.training.lightning_package import OTHER, USES_OTHER, Logger, Trainer

# Of a row of training: not every epoch has one, and not every row has all of them.
LATE_METRICS = (
    *("rollout/return_mean", "rollout/length_mean", "train/critic_loss", "train/q_mean", "train/alpha"),
    *("train/actor_loss", "train/entropy", "train/target_entropy", "train/alpha_loss"),
)


def warn_of_other_package() -> None:
    """Say what to import where a program has both packages: the other's Trainer takes no module of ours.

    It refuses ours as "no LightningModule" before it calls anything that could say why.
    """
    if OTHER in sys.modules and not USES_OTHER:
        text = f"sac_lightning uses pytorch_lightning, and no Trainer of {OTHER} takes its modules: write"
        advice = f"`import pytorch_lightning as L`, or import {OTHER} before sac_lightning"
        warnings.warn(f"{text} {advice}", stacklevel=3)


def start_epoch(trainer: Trainer) -> None:
    """Start a fit with an epoch of its own. Raises MissingApi where one that continues a run cannot."""
    lightning.start_epoch(trainer, continues=trainer.ckpt_path is not None or env_steps(trainer) > 0)


def epoch_is_unfinished(trainer: Trainer) -> bool:
    """Whether the epoch ends before its last batch: by a signal, `max_steps` or `should_stop`."""
    return was_cut_short(trainer) or not lightning.at_last_batch(trainer)


def was_cut_short(trainer: Trainer) -> bool:
    """Whether a stop left a part of the epoch undone."""
    return getattr(datamodule(trainer), "epoch_cut_short", False)


def stop_at_the_end(trainer: Trainer) -> None:
    """End the fit with the data module's `total_env_steps`, whatever `max_epochs` is."""
    if env_steps(trainer) >= getattr(datamodule(trainer), "total_env_steps", math.inf):
        trainer.should_stop = True


def env_steps(trainer: Trainer) -> int:
    """Env steps that the data module has taken."""
    return int(getattr(datamodule(trainer), "env_steps", 0))


def continues(trainer: Trainer, module_env_steps: int) -> bool:
    """Whether a fit continues with the data of the module's last one, not with new or earlier data."""
    schedule = getattr(datamodule(trainer), "schedule", None)
    begun = env_steps(trainer) > 0 or (schedule is not None and schedule.offline_done > 0)
    return begun and env_steps(trainer) >= module_env_steps


def total_updates(trainer: Trainer) -> int:
    """Gradient updates of the whole run, at least 1: learning-rate schedules end with the last."""
    schedule = getattr(datamodule(trainer), "schedule", None)
    return 1 if schedule is None else max(1, schedule.total_updates)


def replay(trainer: Trainer) -> Any:
    """The replay buffer of the data module."""
    return datamodule(trainer).experience.replay


def allow_uneven_epochs(trainer: Trainer) -> None:
    """Let each epoch have a length of its own: the first after a stop is shorter, and so may the last be."""
    vars(trainer)["reload_dataloaders_every_n_epochs"] = 1
    if fast_dev_run(trainer):
        lightning.limit_batches_alone(trainer)


def fast_dev_run(trainer: Trainer | None) -> int:
    """The batches of a fit with `fast_dev_run`; 0 in any other."""
    return 0 if trainer is None else int(vars(trainer).get("fast_dev_run", 0))


def log_at_env_steps(logger: Logger, env_steps: Callable[[], int]) -> None:
    """Give every row that `logger` receives the step `env_steps()`, until `log_at_given_steps`.

    Lightning counts its batches and passes this count to all loggers as their step: for `self.log`, and by
    LearningRateMonitor and DeviceStatsMonitor. Rows of one run would lie on two axes.
    """
    log_at_given_steps(logger)
    log_metrics = logger.log_metrics

    def at_env_steps(metrics: Mapping[str, Any], step: int | None = None) -> None:
        log_metrics(dict(metrics), step=env_steps())

    vars(logger)["log_metrics"] = at_env_steps


def log_at_given_steps(logger: Logger) -> None:
    """Undo `log_at_env_steps`."""
    vars(logger).pop("log_metrics", None)


def defer_monitors(trainer: Trainer) -> None:
    """Let callbacks that monitor a metric of training begin with the first row that has it.

    Lightning's ModelCheckpoint and EarlyStopping fail in an epoch of the warm-up, or one in which no episode
    has ended.
    """
    for callback in _monitoring(trainer):
        for name in ("on_validation_end", "on_train_epoch_end"):
            vars(callback)[name] = partial(_if_known, callback.monitor, getattr(callback, name))


def restore_monitors(trainer: Trainer) -> None:
    """Undo `defer_monitors`."""
    for callback in _monitoring(trainer):
        for name in ("on_validation_end", "on_train_epoch_end"):
            vars(callback).pop(name, None)


def _monitoring(trainer: Trainer) -> list[Any]:
    return [each for each in vars(trainer)["callbacks"] if getattr(each, "monitor", None) in LATE_METRICS]


def _if_known(metric: str, hook: Callable[..., None], trainer: Trainer, *args: Any) -> None:
    if metric in trainer.callback_metrics:
        hook(trainer, *args)


def datamodule(trainer: Trainer) -> Any:
    """The data module of a fit; None without one."""
    return getattr(trainer, "datamodule", None)
