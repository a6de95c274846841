"""Every row of a run belongs to a number of env steps, whoever writes it."""

from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning.loggers.logger import Logger


def log_at_env_steps(logger: Logger, env_steps: Callable[[], int]) -> None:
    """Give every row that `logger` receives the step `env_steps()`, until `log_at_given_steps`.

    Lightning counts its batches and hands this count to all loggers as their step: for `self.log`, and by
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
