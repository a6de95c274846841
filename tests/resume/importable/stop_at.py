"""A callback for command lines."""

import os
import signal
from typing import Any

from pytorch_lightning import Callback, Trainer


class Stop(Callback):
    """Sends the process SIGTERM at `env_steps`."""

    def __init__(self, env_steps: int) -> None:
        self.env_steps = env_steps

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Once."""
        if trainer.datamodule.env_steps == self.env_steps:
            os.kill(os.getpid(), signal.SIGTERM)
