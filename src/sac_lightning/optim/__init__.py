"""Optimizers: their configs, and the step that an update takes with each."""

from sac_lightning.optim.config import Adam, AdamW, LearningRate, step_schedules
from sac_lightning.optim.step import OptimizerStep

__all__ = ["Adam", "AdamW", "LearningRate", "OptimizerStep", "step_schedules"]
