"""A callback that a job imports by name, to see from inside what it was given."""

import os
import signal
from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class Threads(Callback):
    """Writes to `file` how many threads torch has while the run trains.

    The job that PREEMPT names gets SIGUSR2 once.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: object) -> None:
        first = not self.file.exists()
        self.file.write_text(str(torch.get_num_threads()))
        if first and os.environ.get("PREEMPT") == self.file.parent.name:
            os.kill(os.getpid(), signal.SIGUSR2)
