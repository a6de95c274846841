"""The experiments of the lab, in order."""

from sac_lightning.lab import (
    expectation,
    gradients,
    old_data,
    schedules,
    squashed,
    targets,
    thermostat,
    two_peaks,
)
from sac_lightning.lab.experiment import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (
    thermostat.EXPERIMENT,
    targets.EXPERIMENT,
    schedules.EXPERIMENT,
    squashed.EXPERIMENT,
    gradients.EXPERIMENT,
    two_peaks.EXPERIMENT,
    expectation.EXPERIMENT,
    old_data.EXPERIMENT,
)
