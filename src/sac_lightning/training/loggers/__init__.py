"""Where a run is tracked. Every logger's step is the number of env steps."""

from sac_lightning.training.loggers.env_steps import log_at_env_steps, log_at_given_steps
from sac_lightning.training.loggers.images import log_image
from sac_lightning.training.loggers.metrics_csv import MetricsCSV, read_metrics
from sac_lightning.training.loggers.wandb import EnvStepWandbLogger
from sac_lightning.training.loggers.wandb_mode import choose_mode

__all__ = [
    "EnvStepWandbLogger",
    "MetricsCSV",
    "choose_mode",
    "log_at_env_steps",
    "log_at_given_steps",
    "log_image",
    "read_metrics",
]
