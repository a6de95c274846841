"""Callbacks of a run: checkpoints, progress, plots, films, warnings and early stops."""

from sac_lightning.training.callbacks.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from sac_lightning.training.callbacks.entropy_watch import EntropyWatch
from sac_lightning.training.callbacks.plots import PlotCallback
from sac_lightning.training.callbacks.progress import RunProgress
from sac_lightning.training.callbacks.stop import GracefulStop, TrialPruner
from sac_lightning.training.callbacks.video import EvaluationVideo

__all__ = [
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "EntropyWatch",
    "EvaluationVideo",
    "GracefulStop",
    "LastCheckpoint",
    "PlotCallback",
    "RunProgress",
    "TrialPruner",
]
