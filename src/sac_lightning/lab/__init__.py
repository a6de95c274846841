"""The entropy lab: small real experiments on SAC's entropy, each a table and a figure drawn from it alone."""

from sac_lightning.lab.experiment import Experiment, Job
from sac_lightning.lab.experiments import EXPERIMENTS

__all__ = ["EXPERIMENTS", "Experiment", "Job"]
