"""What watches a run."""

from sac_lightning.callbacks.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from sac_lightning.callbacks.entropy_watch import EntropyWatch
from sac_lightning.callbacks.plots import PlotCallback
from sac_lightning.callbacks.progress import RunProgress
from sac_lightning.callbacks.pruning import TrialPruner
from sac_lightning.callbacks.stop import GracefulStop
from sac_lightning.callbacks.video import EvaluationVideo

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
