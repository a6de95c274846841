"""Collects metrics without waiting for the device, and averages them when a row is due."""

import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sac_lightning.algorithm.diagnostics import PREFIX
from sac_lightning.collect.collector import Episode
from sac_lightning.core.finite import NotFiniteError, name_first_update
from sac_lightning.types import PackedMetrics

Metrics = dict[str, float]
Names = tuple[str, ...]
# Updates whose tensors are summed at once; one by one would take longer.
UPDATES_PER_SUM = 32
ENTROPIES = (
    *("train/entropy", "train/target_entropy"),
    *(f"{PREFIX}entropy_squashed", f"{PREFIX}entropy_gaussian"),
)


class MetricWindow:
    """Collects what happened since the last row of the log.

    `add` never waits for the device; the one wait is in `close`. Only the tensors of the last few updates are
    kept: small ones that lived until the next row would take the place of an update's large ones that have
    just been freed, so that the next update would need new memory.

    Args:
        every: env steps between two rows, at least 1.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._last = 0
        self._recent: list[PackedMetrics] = []
        # Those with the same names together: an update without the actor's step has fewer.
        self._sums: dict[Names, Tensor] = {}
        self._counts: dict[Names, int] = {}
        self._episodes: list[Episode] = []
        self._since: float | None = None
        self._steps_at_since = 0
        self.diagnosed = False  # whether this row has its diagnostics: once a row is enough

    def state_dict(self) -> dict[str, Any]:
        """Return what was collected since the last row, as plain data."""
        return {
            "last": self._last,
            "recent": [[list(each.names), each.numbers.clone()] for each in self._recent],
            "sums": [[list(names), total.clone()] for names, total in self._sums.items()],
            "counts": list(self._counts.values()),
            "episodes": [list(episode) for episode in self._episodes],
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` returned."""
        self._last = state["last"]
        self._recent = [PackedMetrics(tuple(names), each.to(device)) for names, each in state["recent"]]
        self._sums = {tuple(names): total.to(device, copy=True) for names, total in state["sums"]}
        self._counts = dict(zip(self._sums, state["counts"], strict=True))
        self._episodes = [Episode(*episode) for episode in state["episodes"]]
        self.diagnosed = any(map(_is_diagnostic, (*self._sums, *(each.names for each in self._recent))))

    def start_clock(self, env_steps: int) -> None:
        """(Re)start timing here: called where evaluations and pauses end."""
        self._since, self._steps_at_since = time.perf_counter(), env_steps

    def add(self, metrics: PackedMetrics) -> None:
        """Add the metrics of one update; the row has each metric's mean over the updates that have it."""
        self._recent.append(metrics)
        self.diagnosed = self.diagnosed or _is_diagnostic(metrics.names)
        if len(self._recent) >= UPDATES_PER_SUM:
            self._sum()

    def check(self) -> None:
        """Raise NotFiniteError for the first update not yet summed that has a metric of NaN or inf.

        Diagnostics are left out: an unknown one is NaN.
        """
        updates = [each for each in self._recent if not _is_diagnostic(each.names)]
        if updates and not torch.cat([each.numbers for each in updates]).isfinite().all():
            name_first_update(updates)

    def _sum(self) -> None:
        self.check()
        for names in {each.names: None for each in self._recent}:
            kept = [each.numbers for each in self._recent if each.names == names]
            total = torch.stack(kept).sum(dim=0, dtype=torch.float64)
            self._sums[names] = self._sums[names].add_(total) if names in self._sums else total
            self._counts[names] = self._counts.get(names, 0) + len(kept)
        self._recent = []

    def add_episodes(self, episodes: list[Episode]) -> None:
        """Add training episodes that have ended. Raises NotFiniteError for a return that is not finite."""
        for episode in episodes:
            if not math.isfinite(episode.ret):  # the rewards that are learned from may be a wrapper's
                raise NotFiniteError(f"the return of a training episode is {episode.ret}")
        self._episodes += episodes

    def due(self, env_steps: int) -> bool:
        """Whether a row should be written at `env_steps`."""
        return env_steps // self.every > self._last // self.every

    def close(self, env_steps: int) -> Metrics:
        """Return the means over the window and start a new one."""
        self._sum()
        row: Metrics = {}
        counts: dict[str, int] = {}
        totals = torch.cat(list(self._sums.values())).tolist() if self._sums else []
        each_count = [self._counts[names] for names in self._sums for _ in names]
        for name, total, count in zip(itertools.chain(*self._sums), totals, each_count, strict=True):
            row[name] = row.get(name, 0.0) + total
            counts[name] = counts.get(name, 0) + count
        row = {name: total / counts[name] for name, total in row.items()}
        if self._episodes:
            row["rollout/return_mean"] = math.fsum(e.ret for e in self._episodes) / len(self._episodes)
            row["rollout/length_mean"] = math.fsum(e.length for e in self._episodes) / len(self._episodes)
        if self._since is not None and env_steps > self._steps_at_since:
            elapsed = max(time.perf_counter() - self._since, 1e-9)
            row["time/env_steps_per_s"] = (env_steps - self._steps_at_since) / elapsed
        self._last = env_steps
        self._sums, self._counts, self._episodes = {}, {}, []
        self.diagnosed = False
        self.start_clock(env_steps)
        return row


def mean_of_rows(rows: Sequence[Metrics]) -> Metrics:
    """Return each metric's mean over the rows that have it: not in each row did an episode end."""
    names = dict.fromkeys(itertools.chain(*rows))
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: math.fsum(values) / len(values) for name, values in found.items()}


def _is_diagnostic(names: Names) -> bool:
    return names[0].startswith(PREFIX)


def in_units(row: Metrics, offset: float) -> Metrics:
    """Return `row` with `offset` added to its entropies: from the unit action box to a config's units."""
    return {key: value + offset if key in ENTROPIES else value for key, value in row.items()}
