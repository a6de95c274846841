"""How many gradient updates a run makes when, and how its epochs are cut into Lightning's batches."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

from sac_lightning.core.errors import number, require
from sac_lightning.private.lightning import settle_epochs
from sac_lightning.training.lightning_package import Trainer
from sac_lightning.training.loops import fast_dev_run
from sac_lightning.training.trainer_options import StepOptions, fast_dev_run_sizes

log = logging.getLogger(__name__)
UPDATES_PER_BATCH = 32
MOST_UPDATES = 1000  # per env step; published work stays below a hundred


@dataclass(kw_only=True)
class Schedule:
    """Says which gradient updates are due after how many env steps. Those on prior data come first.

    Args:
        total_env_steps: of the whole run, at least `learning_starts`.
        steps_per_epoch: env steps of one epoch, at least those of one iteration.
        learning_starts: env steps before the first update.
        num_envs, collect_steps: one iteration has their product of env steps.
        utd_ratio: gradient updates for each env step after these.
        iterations_per_batch: iterations in one training batch of Lightning; None for about 32 updates.
        offline_updates: updates on prior data, before the first env step.
    """

    total_env_steps: int
    steps_per_epoch: int
    learning_starts: int
    num_envs: int
    collect_steps: int
    utd_ratio: float
    iterations_per_batch: int | None
    offline_updates: int

    def __post_init__(self) -> None:
        allowed = f"must be a number above 0 and at most {MOST_UPDATES}: gradient updates per env step"
        require(0.0 < number(self.utd_ratio) <= MOST_UPDATES, "utd_ratio", self.utd_ratio, allowed)
        self._iteration_steps = self.num_envs * self.collect_steps
        allowed = f"must be at least num_envs · collect_steps = {self._iteration_steps}"
        ok = self._iteration_steps <= self.steps_per_epoch
        require(ok, "steps_per_epoch", self.steps_per_epoch, allowed)
        allowed = f"must be at least learning_starts={self.learning_starts}, or nothing is ever learned"
        ok = self.total_env_steps >= self.learning_starts
        require(ok, "total_env_steps", self.total_env_steps, allowed)
        self.updates_per_iteration = self.utd_ratio * self._iteration_steps
        updates = max(1.0, self.updates_per_iteration)
        self._batch_size = self.iterations_per_batch or max(1, int(UPDATES_PER_BATCH // updates))
        self.offline_done, self._offline_per_iteration = 0, UPDATES_PER_BATCH
        self.start_fit(None)

    def start_fit(self, trainer: Trainer | None) -> None:
        """Take the options of `trainer`, where a fast_dev_run has a warm-up of one iteration."""
        self._options: StepOptions | None = None
        self.warm_up, self._offline = self.learning_starts, self.offline_updates
        if fast_dev_run(trainer):
            self.warm_up, self._offline = min(self.warm_up, self._iteration_steps), 0

    def updates_due(self, env_steps: int) -> int:
        """Return the gradient updates due after `env_steps` env steps; the warm-up has none."""
        return self._offline + math.floor(self.utd_ratio * max(0, env_steps - self.warm_up) + 1e-9)

    @property
    def total_updates(self) -> int:
        """Gradient updates of the whole run."""
        return self.updates_due(self.total_env_steps)

    def batch_sizes(self, trainer: Trainer, env_steps: int) -> list[int]:
        """Return the iterations of each batch of the present epoch from `env_steps` on.

        Raises ConfigError for an option of `trainer` that the updates of an iteration would jump over.
        """
        if self._options is None:
            settle_epochs(trainer)
            self._options = StepOptions.of(trainer)
            if self.updates_per_iteration > 1.0:
                self._options.check(self._global_steps(trainer, env_steps, self.total_env_steps))
        if batches := fast_dev_run(trainer):
            return fast_dev_run_sizes(batches, self.updates_per_iteration)
        # Its options may name any update; otherwise an iteration is as long as a batch.
        each_counts = self._options.every or self._options.max_steps
        self._offline_per_iteration = 1 if each_counts else UPDATES_PER_BATCH
        done = 0 if self._options.limits_epochs else env_steps % self.steps_per_epoch
        end = min(env_steps - done + self.steps_per_epoch, self.total_env_steps)
        steps = self._global_steps(trainer, env_steps, end)
        return [
            *[1] * math.ceil(self.offline_left / self._offline_per_iteration),
            *self._options.batch_sizes(self._batch_size, steps),
        ]

    def _global_steps(self, trainer: Trainer, env_steps: int, end: int) -> Iterator[int]:
        """Yield `trainer.global_step` now and after each iteration until `end` env steps."""
        begin = trainer.global_step + self.offline_left - self.updates_due(env_steps)
        counts = range(env_steps, end + self._iteration_steps, self._iteration_steps)
        return (begin + self.updates_due(now) for now in counts)

    @property
    def offline_left(self) -> int:
        """Updates on prior data that are still to be made."""
        return max(0, self._offline - self.offline_done)

    def count_offline(self) -> int:
        """Return how many updates on prior data are next, and count them; log every tenth of all."""
        updates = min(self.offline_left, self._offline_per_iteration)
        tenth = 10 * self.offline_done // self._offline
        self.offline_done += updates
        if 10 * self.offline_done // self._offline > tenth:
            log.info("prior data: %d of %d offline updates", self.offline_done, self._offline)
        return updates
