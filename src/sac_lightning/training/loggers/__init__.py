"""Where a run is tracked. Every logger's step is the number of env steps."""

from sac_lightning.training.loggers.metrics_csv import MetricsCSV, read_metrics
from sac_lightning.training.loggers.trackio import TrackioLogger
from sac_lightning.training.loggers.wandb import EnvStepWandbLogger, choose_mode

__all__ = ["EnvStepWandbLogger", "MetricsCSV", "TrackioLogger", "choose_mode", "read_metrics"]
