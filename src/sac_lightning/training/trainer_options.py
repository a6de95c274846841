"""The options of a Trainer: which are refused, and how long batches may be so that each takes effect.

Lightning looks at `trainer.global_step` once a batch. A batch of many updates would jump over the step that
an option names.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.fields import Whole
from sac_lightning.core.ranks import Ranks
from sac_lightning.private.lightning import step_options
from sac_lightning.training.lightning_package import DDPStrategy, ModelCheckpoint, Trainer

PRECISIONS = ("32-true", "bf16-mixed")
NOT_COMPILED = "must be false with several devices: their ranks exchange gradients in the middle of an update"


def check_trainer(trainer: Trainer, *, compiled: bool) -> None:
    """Raise ConfigError for a Trainer's precision or strategy that this package does not support.

    `compiled` is whether the update is to be compiled.
    """
    precision, strategy = trainer.precision, trainer.strategy
    require(precision in PRECISIONS, "precision", precision, f"must be one of {', '.join(PRECISIONS)}")
    if trainer.world_size > 1:
        name = type(strategy).__name__
        require(isinstance(strategy, DDPStrategy), "strategy", name, "must be ddp with several devices")
        require(not compiled, "compile", True, NOT_COMPILED)


def ranks_of(trainer: Trainer | None) -> Ranks | None:
    """Return the processes of a `trainer` with several devices; None for a single one."""
    if trainer is None or trainer.world_size == 1:
        return None
    return Ranks(trainer.global_rank, trainer.world_size, trainer.strategy.root_device)


def rank_folder(folder: Path, rank: int) -> Path:
    """Return where the rank's own journal is, inside `folder`, which is that of rank 0."""
    return folder / f"rank{rank}" if rank else folder


def check_share(key: str, value: int, ranks: int) -> None:
    """Raise ConfigError unless `value`, of `key`, can be shared out equally over `ranks` processes."""
    require(value % ranks == 0, key, value, f"must be a multiple of devices={ranks}, which share it equally")


def check_count(key: str, value: float) -> int:
    """Return `value`, of `key`, as an int. Raises ConfigError unless it is a count."""
    return int(Whole("[1, inf)").check(key, value))


@dataclass(frozen=True)
class StepOptions:
    """The options of a Trainer and its callbacks that count steps.

    every: gradient updates between two checkpoints, of each ModelCheckpoint(every_n_train_steps=...).
    max_steps, min_steps: gradient updates; None without such a limit.
    limits_epochs: whether limit_train_batches, overfit_batches or fast_dev_run count the batches of an epoch.
    counts_batches: whether batches themselves are counted, by these or by val_check_interval.
    """

    every: tuple[int, ...] = ()
    max_steps: int | None = None
    min_steps: int | None = None
    limits_epochs: bool = False
    counts_batches: bool = False

    @classmethod
    def of(cls, trainer: Trainer) -> "StepOptions":
        """Read the options of `trainer`. Raises ConfigError for one that Lightning would ignore."""
        callbacks = [each for each in vars(trainer)["callbacks"] if isinstance(each, ModelCheckpoint)]
        every = set()
        for interval, steps in map(step_options, callbacks):
            if interval is not None:
                reason = "does nothing under manual optimization; use every_n_epochs or every_n_train_steps"
                raise ConfigError("ModelCheckpoint.train_time_interval", interval, reason)
            every.add(steps)
        limits_epochs = _limits(trainer.limit_train_batches)
        return cls(
            every=tuple(sorted(every - {0})),
            max_steps=None if trainer.max_steps == -1 else trainer.max_steps,
            min_steps=trainer.min_steps,
            limits_epochs=limits_epochs,
            counts_batches=limits_epochs or _limits(getattr(trainer, "val_check_interval", 1.0)),
        )

    def check(self, global_steps: Iterable[int]) -> None:
        """Raise ConfigError where `global_steps`, now and after each iteration, jump over a step of these."""
        if not self.every and self.max_steps is None:
            return
        for before, after in itertools.pairwise(global_steps):
            for each in self.every:
                met = (before // each + 1) * each
                if met < after:
                    raise _jump("ModelCheckpoint.every_n_train_steps", each, met, before, after)
            if self.max_steps is not None and before < self.max_steps <= after:
                if after > self.max_steps:
                    raise _jump("Trainer.max_steps", self.max_steps, self.max_steps, before, after)
                return

    def batch_sizes(self, limit: int, global_steps: Iterable[int]) -> list[int]:
        """Return the iterations of each batch: `limit`, or fewer where an option needs a batch to end.

        `global_steps` are those now and after each iteration.
        """
        limit = 1 if self.counts_batches else limit
        sizes, size = [], 0
        for before, after in itertools.pairwise(global_steps):
            size += 1
            if size == limit or self._ends_at(before, after):
                sizes.append(size)
                size = 0
        return [*sizes, size] if size else sizes

    def _ends_at(self, before: int, after: int) -> bool:
        """Whether a batch has to end with the updates that bring `global_step` from `before` to `after`."""
        if after == before:
            return False
        return after in (self.max_steps, self.min_steps) or any(after % each == 0 for each in self.every)


def fast_dev_run_sizes(batches: int, updates_per_iteration: float) -> list[int]:
    """Return the iterations of each of `batches` batches: enough for an update, plus one of warm-up."""
    iterations = math.ceil(1.0 / min(1.0, updates_per_iteration))
    return [iterations + 1, *[iterations] * (batches - 1)]


def _limits(batches: Any) -> bool:
    """Whether a limit of Lightning's was given: the float 1.0 is all batches, the int 1 a single one."""
    return not (isinstance(batches, float) and batches == 1.0)


def _jump(key: str, value: int, step: int, before: int, after: int) -> ConfigError:
    return ConfigError(
        key,
        value,
        f"is counted in gradient updates, which come {after - before} at a time here (utd_ratio · num_envs · "
        f"collect_steps): they go from {before} to {after} and never stop at {step}",
    )
