"""One image to one logger, whatever its kind."""

import os

import numpy as np
from pytorch_lightning.loggers.logger import Logger


def log_image(logger: Logger, key: str, png_path: str | os.PathLike[str], env_steps: int) -> None:
    """Show the PNG at `png_path` under `key`; a logger that takes no images is left alone."""
    if hasattr(logger, "log_image"):
        logger.log_image(key, [os.fspath(png_path)], step=env_steps)
        return
    add_image = getattr(getattr(logger, "experiment", None), "add_image", None)
    if add_image is not None:
        from PIL import Image

        with Image.open(png_path) as image:
            pixels = np.asarray(image.convert("RGB"))
        add_image(key, pixels, env_steps, dataformats="HWC")
