"""What watches a run."""

from sac_lightning.callbacks.plots import PlotCallback
from sac_lightning.callbacks.progress import RunProgress

__all__ = ["PlotCallback", "RunProgress"]
