"""The run's two pictures, kept fresh while it trains."""

import os
import warnings
from pathlib import Path

import pytorch_lightning as pl
from typing_extensions import override

from sac_lightning.core.errors import as_whole, names_path, require, whole
from sac_lightning.core.plots import learning_curve, temperature
from sac_lightning.training.loggers import MetricsCSV, log_image, read_metrics


class PlotCallback(pl.Callback):
    """Draws `learning_curve.png` and `temperature.png` into `dir` from the run's `metrics.csv`.

    It does so every `every_n_epochs` epochs and when the fit ends, and shows them to every logger. A picture
    that fails is a warning: training goes on.
    """

    def __init__(self, dir: str | os.PathLike[str], every_n_epochs: int = 10, title: str = "") -> None:
        every_n_epochs = as_whole(every_n_epochs)
        ok = whole(every_n_epochs) >= 1
        require(ok, "every_n_epochs", every_n_epochs, "must be a whole number of at least 1")
        require(names_path(dir), "dir", dir, "must be the name of a folder")
        self.dir = Path(dir)
        self.every_n_epochs = every_n_epochs
        self.title = title
        self._drawn_epoch = -1

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw when the epoch's number is a multiple of `every_n_epochs`."""
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._drawn_epoch = trainer.current_epoch + 1
            self.draw(trainer)

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the whole run, unless the last epoch has just done so."""
        if trainer.current_epoch != self._drawn_epoch:
            self.draw(trainer)

    def draw(self, trainer: pl.Trainer) -> None:
        """Draw both pictures now and hand them to the loggers."""
        logger = next((logger for logger in trainer.loggers if isinstance(logger, MetricsCSV)), None)
        if logger is None or not trainer.is_global_zero or not logger.path.exists():
            return
        try:
            metrics = read_metrics(logger.path)
            env_steps = int(max(metrics["env_steps"], default=0))
            for plot in (learning_curve, temperature):
                png = self.dir / f"{plot.__name__}.png"
                plot(metrics, png, self.title)
                for each in trainer.loggers:
                    log_image(each, f"plots/{plot.__name__}", png, env_steps)
        except Exception as error:  # a picture must not end a run
            warnings.warn(f"The plots of the run could not be drawn: {error!r}", RuntimeWarning, stacklevel=2)
