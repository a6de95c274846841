"""A ring of transitions in preallocated tensors."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sac_lightning.errors import ConfigError, require
from sac_lightning.seeding import continue_generator
from sac_lightning.spaces import ActionSpec, Array, ObsSpec
from sac_lightning.types import Batch, Origin, Sample


class Ring(NamedTuple):
    """The rows of the buffer: a Batch's fields, and what only diagnostics read."""

    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    terminated: Tensor
    log_prob: Tensor  # of the action under the policy that chose it; NaN where that is unknown


class ReplayBuffer:
    """Uniform replay. Observations keep their dtype (uint8 stays uint8) and any shape.

    `added` counts all transitions ever stored; transition i lies in row i mod capacity until it is
    overwritten.
    """

    def __init__(
        self, capacity: int, obs: ObsSpec, action: ActionSpec, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        require(capacity >= 1, "replay.capacity", capacity, "must be a whole number of at least 1")
        self.capacity = capacity
        self.device = torch.device(device)
        self.added = 0
        dtype = getattr(torch, obs.dtype)
        shape, kind = action.row
        self.store = Ring(
            obs=torch.zeros(capacity, *obs.shape, dtype=dtype, device=self.device),
            action=torch.zeros(capacity, *shape, dtype=getattr(torch, kind), device=self.device),
            reward=torch.zeros(capacity, device=self.device),
            next_obs=torch.zeros(capacity, *obs.shape, dtype=dtype, device=self.device),
            terminated=torch.zeros(capacity, dtype=torch.bool, device=self.device),
            log_prob=torch.zeros(capacity, device=self.device),
        )
        self._rows = Batch(*self.store[: len(Batch._fields)])
        # On the CPU rows are written through NumPy, whose assignment costs less than PyTorch's.
        on_cpu = self.device.type == "cpu"
        self._columns: list[Any] = [field.numpy() if on_cpu else field for field in self.store]
        self._drawn = torch.zeros(0, 0, dtype=torch.int64)
        self.generator = torch.Generator(device=self.device).manual_seed(seed)

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(
        self,
        obs: Array,
        action: Array,
        reward: Array,
        next_obs: Array,
        terminated: Array,
        log_prob: Array | None = None,
    ) -> None:
        """Store M transitions, each argument `[M, ...]`; the oldest make room."""
        count = len(reward)
        if log_prob is None:
            log_prob = np.full(count, np.nan, np.float32)
        if count > self.capacity:
            raise ConfigError(
                "replay.capacity", self.capacity, f"must hold one step of all envs: at least {count}"
            )
        new: tuple[Any, ...] = (obs, action, reward, next_obs, terminated, log_prob)
        if self.device.type != "cpu":
            new = tuple(torch.from_numpy(np.ascontiguousarray(rows)) for rows in new)
        start = self.added % self.capacity
        first = min(count, self.capacity - start)
        for column, rows in zip(self._columns, new, strict=True):
            if first == count:
                column[start : start + count] = rows  # copies and casts
            else:
                column[start:], column[: count - first] = rows[:first], rows[first:]
        self.added += count

    def sample(self, batches: int, batch_size: int) -> Batch:
        """`batches` independent mini-batches `[G, B, ...]` in one gather, with replacement."""
        return self.draw(batches, batch_size).gather()

    def draw(self, batches: int, batch_size: int) -> Sample:
        """Which rows `sample` would copy; they change with the next `add`."""
        if not self.added:
            raise RuntimeError("the replay buffer is empty: add transitions before sampling")
        self._drawn = torch.randint(
            len(self), (batches, batch_size), generator=self.generator, device=self.device
        )
        return Sample(self._rows, self._drawn)

    def origin(self) -> Origin:
        """Where the transitions of the last `draw` come from, `[G, B]`; ask before the next `add`."""
        age = (self.added - 1 - self._drawn) % self.capacity
        return Origin(age, self.store.log_prob[self._drawn])

    def state_dict(self) -> dict[str, Any]:
        """The sampler's random state and the count; the transitions themselves are the journal's."""
        return {"added": self.added, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.added = state["added"]
        continue_generator(self.generator, state["generator"])
