"""Optimizers: their configs, and the step that an update takes with each."""

from sac_lightning.optim.config import Adam, AdamW, check_lr, step_schedules
from sac_lightning.optim.step import OptimizerStep

__all__ = ["Adam", "AdamW", "OptimizerStep", "check_lr", "step_schedules"]
