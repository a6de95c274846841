"""Numbers gathered without waiting for the device, averaged when they are due."""

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sac_lightning.collector import Episode
from sac_lightning.diagnostics import PREFIX

Metrics = dict[str, float]
# Updates whose tensors are kept before they are added up; one by one would take longer than keeping them.
KEPT = 8
ENTROPIES = (
    *("train/entropy", "train/target_entropy"),
    *(f"{PREFIX}entropy_squashed", f"{PREFIX}entropy_gaussian"),
)


class MetricWindow:
    """What happened since the last row of the log.

    `add` never waits for the device; the one wait is in `close`. Only the tensors of the last few updates are
    kept: small ones that lived until the next row would come to lie where an update's large ones have just
    been freed, so that the next update needs new memory.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._last = 0
        self._recent: dict[str, list[Tensor]] = {}
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._episodes: list[Episode] = []
        self._since: float | None = None
        self._steps_at_since = 0

    def state_dict(self) -> dict[str, Any]:
        """What was gathered since the last row, as plain data."""
        return {
            "last": self._last,
            "updates": {key: torch.stack(values) for key, values in self._recent.items()},
            "sums": {key: total.clone() for key, total in self._sums.items()},
            "counts": dict(self._counts),
            "episodes": [list(episode) for episode in self._episodes],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self._last = state["last"]
        self._recent = {key: list(values.unbind()) for key, values in state["updates"].items()}
        # Format 1 had no sums, but the numbers of all updates.
        self._sums = {key: total.clone() for key, total in state.get("sums", {}).items()}
        self._counts = dict(state.get("counts", {}))
        self._episodes = [Episode(*episode) for episode in state["episodes"]]

    def start_clock(self, env_steps: int) -> None:
        """(Re)start timing here: called where evaluations and pauses end."""
        self._since, self._steps_at_since = time.perf_counter(), env_steps

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Detached tensors of one update; the row has the mean over all their numbers."""
        for key, value in metrics.items():
            self._recent.setdefault(key, []).append(value)
        if any(len(values) >= KEPT for values in self._recent.values()):
            self._add_up()

    def _add_up(self) -> None:
        for key, values in self._recent.items():
            total = torch.stack(values).sum(dim=0, dtype=torch.float64)
            self._sums[key] = self._sums[key].add_(total) if key in self._sums else total
            self._counts[key] = self._counts.get(key, 0) + len(values)
        self._recent = {}

    @property
    def diagnosed(self) -> bool:
        """Whether this row has its diagnostics: one look a row is enough."""
        return any(key.startswith(PREFIX) for key in (*self._recent, *self._sums))

    def add_episodes(self, episodes: list[Episode]) -> None:
        """Training episodes that have ended."""
        self._episodes += episodes

    def due(self, env_steps: int) -> bool:
        """Whether a row should be written at `env_steps`."""
        return env_steps // self.every > self._last // self.every

    def close(self, env_steps: int) -> Metrics:
        """Means over the window, which begins anew."""
        row: Metrics = {}
        self._add_up()
        if self._sums:
            means = torch.stack([total.mean() / self._counts[key] for key, total in self._sums.items()])
            row.update(zip(self._sums, means.tolist(), strict=True))
        if self._episodes:
            row["rollout/return_mean"] = math.fsum(e.ret for e in self._episodes) / len(self._episodes)
            row["rollout/length_mean"] = math.fsum(e.length for e in self._episodes) / len(self._episodes)
        if self._since is not None and env_steps > self._steps_at_since:
            elapsed = max(time.perf_counter() - self._since, 1e-9)
            row["time/env_steps_per_s"] = (env_steps - self._steps_at_since) / elapsed
        self._last = env_steps
        self._sums, self._counts, self._episodes = {}, {}, []
        self.start_clock(env_steps)
        return row


def in_units(row: Metrics, offset: float) -> Metrics:
    """`row` with its entropies raised by `offset`: from the unit action box to the units of a config."""
    return {key: value + offset if key in ENTROPIES else value for key, value in row.items()}
