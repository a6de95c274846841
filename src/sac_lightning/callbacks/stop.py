"""Ctrl-C and SIGTERM: end the epoch where it is, save, and stop."""

import logging
import signal
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from typing_extensions import override

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(Callback):
    """The first signal ends the epoch after the present turn, so that its checkpoint is written as usual.

    A second one ends the process at once; the last checkpoint stays whole. `received` tells afterwards
    which signal it was.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._trainer: Trainer | None = None

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trainer = trainer
        for each in SIGNALS:
            self._before[each] = signal.signal(each, self._stop)

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before.clear()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        log.warning(
            "%s: saving a checkpoint, then stopping; once more to stop at once", signal.Signals(number).name
        )
        assert self._trainer is not None
        self._trainer.should_stop = True
        self._trainer.datamodule.end_epoch_early()  # type: ignore[attr-defined]
