"""A callback that a job imports by name, to see from inside what it was given."""

from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class Threads(Callback):
    """Writes to `file` how many threads torch has while the run trains."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: object) -> None:
        self.file.write_text(str(torch.get_num_threads()))
