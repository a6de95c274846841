"""Signals in the middle of an evaluation."""

import os
import signal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class StopInEvaluation(Callback):
    """Sends this process a signal at step `at` of its evaluation number `number`, both counted from 1."""

    def __init__(self, number: int, at: int = 7, kind: int = signal.SIGTERM) -> None:
        self.number, self.at, self.kind = number, at, kind
        self.steps = 0

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to what the evaluation asks at every step."""
        self.number -= 1
        if self.number == 0:
            data = trainer.datamodule
            self.asked, data.stop_requested = data.stop_requested, self.stop_requested

    def stop_requested(self) -> bool:
        """The signal, then what was asked."""
        self.steps += 1
        if self.steps == self.at:
            os.kill(os.getpid(), self.kind)
        return bool(self.asked())


class Judge(Callback):
    """Remembers every evaluation that it is shown, as EarlyStopping does, and in checkpoints too."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """As Lightning's own callbacks: nothing in a validation that does not count."""
        if not trainer.sanity_checking:
            self.seen.append(float(trainer.callback_metrics["eval/return_mean"]))

    def state_dict(self) -> dict[str, list[float]]:
        """For checkpoints."""
        return {"seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, list[float]]) -> None:
        """From a checkpoint."""
        self.seen = list(state_dict["seen"])
