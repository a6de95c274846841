"""A callback that holds a run between segments, and says where the time of one went."""

import functools
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from gate import WARM_UP_UPDATES, Channel, Gate

PACKAGES = ("sac-lightning", "torch", "pytorch-lightning", "gymnasium", "numpy")


class Clocks:
    """Seconds spent in methods of live objects, between `start` and `stop`."""

    def __init__(self, methods: dict[str, list[tuple[Any, str]]]) -> None:
        self._methods = methods
        self._before: list[tuple[Any, str, Any]] = []  # attributes of the objects themselves
        self.seconds: dict[str, float] = {}

    def start(self) -> None:
        """Put a clock before every method."""
        self.seconds = dict.fromkeys(self._methods, 0.0)
        for key, places in self._methods.items():
            for owner, name in places:
                self._before.append((owner, name, vars(owner).get(name)))
                object.__setattr__(owner, name, self._timed(key, getattr(owner, name)))

    def stop(self) -> None:
        """Take the clocks away."""
        for owner, name, before in self._before:
            object.__delattr__(owner, name)
            if before is not None:
                object.__setattr__(owner, name, before)
        self._before = []

    def _timed(self, key: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)  # Lightning reads its arguments
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds[key] += time.perf_counter() - began

        return timed


class Segments(pl.Callback):
    """Holds the loop between segments; the answer to a `profile` segment also says where its time went."""

    def __init__(self, learning_starts: int) -> None:
        self._gate = Gate(Channel(), learning_starts + WARM_UP_UPDATES, PACKAGES)
        self._clocks: Clocks | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        """Called after every batch of Lightning: some iterations, of one env step and its update each."""
        data: Any = trainer.datamodule
        parts = self._clocks.seconds if self._clocks else None
        order = self._gate.passed(data.env_steps, trainer.global_step, parts)
        if order is None:
            return
        if self._clocks is not None:
            self._clocks.stop()
        self._clocks = _clocks(data, pl_module) if order.what == "profile" else None
        if order.what == "quit":
            trainer.should_stop = True
            data.end_epoch_early()


def _clocks(data: Any, module: Any) -> Clocks:
    collector = data.experience.collector
    loop = module.update_loop
    update = (module.sac, "update") if loop.compiled is None else (loop, "compiled")
    clocks = Clocks(
        {
            "collecting": [(collector, "collect"), (collector, "fuse_action")],
            "sampling": [(data.experience.replay, "draw")],
            "updating": [(module.sac.head, "draw_noise"), update, (loop._diagnostics, "of")],
            "logging": [(loop, "row"), (module, "log_metrics")],
        }
    )
    clocks.start()
    return clocks
