"""Draws the learning curve and the temperature while a run trains."""

import os
import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
from typing_extensions import override

from sac_lightning.core.fields import FOLDER, Whole, check_arguments
from sac_lightning.core.plots import learning_curve, temperature
from sac_lightning.training.lightning_package import Callback, LightningModule, Logger, Trainer
from sac_lightning.training.loggers import MetricsCSV, read_metrics


class PlotCallback(Callback):
    """Draws `learning_curve.png` and `temperature.png` from the run's `metrics.csv`, and logs both images.

    A plot that fails is a warning: training continues.

    Args:
        dir: the folder of the plots.
        every_n_epochs: epochs between two drawings; the end of a fit draws as well.
        title: above both plots.
    """

    @check_arguments()
    def __init__(
        self,
        dir: Annotated[str | os.PathLike[str], FOLDER],
        every_n_epochs: Annotated[int, Whole("[1, inf)")] = 10,
        title: str = "",
    ) -> None:
        self.dir, self.every_n_epochs, self.title = Path(dir), every_n_epochs, title
        self._drawn_epoch = -1

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._drawn_epoch = trainer.current_epoch + 1
            self.draw(trainer)

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch != self._drawn_epoch:
            self.draw(trainer)

    def draw(self, trainer: Trainer) -> None:
        """Draw both plots now and log them."""
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
        except Exception as error:  # a plot must not end a run
            warnings.warn(f"The plots of the run could not be drawn: {error!r}", RuntimeWarning, stacklevel=2)


def log_image(logger: Logger, key: str, png_path: str | os.PathLike[str], env_steps: int) -> None:
    """Log the PNG at `png_path` under `key`; a logger without images gets nothing."""
    if hasattr(logger, "log_image"):
        logger.log_image(key, [os.fspath(png_path)], step=env_steps)
        return
    add_image = getattr(getattr(logger, "experiment", None), "add_image", None)
    if add_image is not None:  # TensorBoard
        from PIL import Image

        with Image.open(png_path) as image:
            pixels = np.asarray(image.convert("RGB"))
        add_image(key, pixels, env_steps, dataformats="HWC")
