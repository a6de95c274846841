"""Transitions from before a run, and those of an earlier run; prior_files.py has the other sources."""

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch

from sac_lightning.core.checkpoint import read_checkpoint, replay_state
from sac_lightning.core.errors import require
from sac_lightning.core.spec import from_spec
from sac_lightning.replay.disk.journal import Journal
from sac_lightning.replay.disk.segment import existing
from sac_lightning.replay.episodes import broken_off
from sac_lightning.replay.ring import Ring
from sac_lightning.spaces import ActionSpec, Array, ObsSpec

SOURCES = "must name the folder of a run, one of its checkpoints, a .npz or .parquet file, or minari:ID"


class PriorData(ABC):
    """Describes transitions that are on disk. Making one reads no transition; `read` does.

    Args:
        source: one entry of `replay.data`.
    """

    rows: int  # how many transitions there are
    sha256: str

    def __init__(self, source: str) -> None:
        self.source = source

    @abstractmethod
    def check(self, obs: ObsSpec, action: ActionSpec) -> None:
        """Raises ConfigError unless the transitions belong to these spaces."""

    @abstractmethod
    def read(self, store: Ring, action: ActionSpec) -> Array:
        """Reads all transitions into `store`. Returns its rows in the order of collection.

        The last transition of each episode is terminated or truncated afterwards.
        """

    def require(self, ok: bool, allowed: str) -> None:
        """Raises ConfigError unless `ok`."""
        require(ok, "replay.data", self.source, allowed)


class RunData(PriorData):
    """The replay journal of an earlier run, as its last checkpoint or a named one refers to it.

    These are the transitions in the buffer at that time, and the older ones that its oldest segment still
    contains. Actions are in the unit action box there, so the bounds of both envs must be equal.
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        path = Path(source)
        checkpoint = path if path.suffix == ".ckpt" else path / "checkpoints" / "last.ckpt"
        self.require(checkpoint.is_file(), f"{SOURCES}: there is no {checkpoint}")
        content = read_checkpoint(checkpoint)
        state = replay_state(content)
        self.require(bool(state.get("journal")), "this run has saved no transitions")
        self._folder = checkpoint.parent.parent / "replay"
        self._manifest, self._breaks = state["journal"], state["replay"]["breaks"]
        for segment in self._manifest:
            existing(self._folder, segment)
        self._first, self._end = int(self._manifest[0]["first"]), int(state["replay"]["added"])
        self.rows = self._end - self._first
        spaces = content["hyper_parameters"]
        self._specs = from_spec(ObsSpec, spaces["obs"]), from_spec(ActionSpec, spaces["action"])
        # The list of the segments has a checksum of each.
        listed = json.dumps([self._manifest, self._breaks, self._end], sort_keys=True)
        self.sha256 = hashlib.sha256(listed.encode()).hexdigest()

    def check(self, obs: ObsSpec, action: ActionSpec) -> None:
        for name, was, now in zip(("observations", "actions"), self._specs, (obs, action), strict=True):
            self.require(was == now, f"the {name} of that run are {was}; those of this env are {now}")

    def read(self, store: Ring, action: ActionSpec) -> Array:
        Journal(self._folder).read(store, self._manifest, self._end)
        numbers = np.arange(self._first, self._end)
        rows = numbers % self.rows
        ends = broken_off(numbers, store.env.cpu().numpy()[rows], self._breaks)
        store.truncated[torch.from_numpy(rows[ends])] = True
        return rows
