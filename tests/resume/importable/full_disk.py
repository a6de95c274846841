"""A callback for command lines."""

import resource
from typing import Any

from pytorch_lightning import Callback, Trainer


class Fill(Callback):
    """At `env_steps` the disk is full: no file of this process can grow beyond `size` bytes."""

    def __init__(self, env_steps: int, size: int) -> None:
        self.env_steps, self.size = env_steps, size

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Once."""
        if trainer.datamodule.env_steps == self.env_steps:
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, most))
