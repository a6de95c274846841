"""Transitions from before a run: of an earlier run, of a .npz file, or of a Minari data set."""

import hashlib
import json
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sac_lightning.core.checkpoint import read_checkpoint, replay_state
from sac_lightning.core.errors import install, one_line, require
from sac_lightning.core.files import DamagedFile
from sac_lightning.core.spec import from_spec
from sac_lightning.replay.disk.journal import Journal
from sac_lightning.replay.disk.segment import existing
from sac_lightning.replay.episodes import broken_off
from sac_lightning.replay.ring import Ring
from sac_lightning.spaces import ActionSpec, Array, ObsSpec

MINARI = "minari:"
SOURCES = "must name the folder of a run, one of its checkpoints, a .npz file or minari:ID"
FIELDS = ("obs", "action", "reward", "next_obs", "terminated")
AT_ONCE = 4096  # rows that are compared at a time


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


def prior_data(source: str) -> PriorData:
    """Returns what `source` names. Raises ConfigError, or DamagedFile."""
    if source.startswith(MINARI):
        return MinariData(source)
    return NpzData(source) if source.endswith(".npz") else RunData(source)


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


class FileData(PriorData):
    """Transitions as other programs write them: actions are the env's own, and an episode follows another.

    An episode also ends where `next_obs` is not the next row's `obs`.
    """

    def _check_shape(
        self, name: str, shape: tuple[int, ...], dtype: Any, row: tuple[int, ...], to: str
    ) -> None:
        """Raises ConfigError unless the array `name` has rows of shape `row` that can be cast to `to`."""
        self.require(shape[1:] == row, f"{name} has rows of shape {shape[1:]}; this env needs {row}")
        ok = np.can_cast(dtype, to, "same_kind")
        self.require(ok, f"{name} has the dtype {dtype}, which cannot be converted to {to}")

    def _put(self, column: Tensor, rows: slice, values: Array, name: str) -> None:
        """Writes `values` into `rows` of `column`. Raises DamagedFile for a number that is not finite."""
        cast = torch.from_numpy(np.ascontiguousarray(values)).to(column.dtype)
        if cast.is_floating_point() and not cast.isfinite().all():
            raise DamagedFile(Path(self.source), f"{name} has numbers that are not finite in {column.dtype}")
        column[rows] = cast

    def _put_actions(self, column: Tensor, rows: slice, values: Array, action: ActionSpec) -> None:
        try:
            self._put(column, rows, action.from_env(values), "action")
        except ValueError as error:
            raise DamagedFile(Path(self.source), one_line(error)) from None

    def _end_episodes(self, store: Ring) -> None:
        """Marks as truncated what the next row does not continue."""
        store.env.zero_()
        store.log_prob.fill_(torch.nan)
        for start in range(0, self.rows - 1, AT_ONCE):
            now = slice(start, min(start + AT_ONCE, self.rows - 1))
            then = slice(now.start + 1, now.stop + 1)
            apart = (store.next_obs[now] != store.obs[then]).reshape(now.stop - now.start, -1).any(dim=1)
            store.truncated[now] |= apart & ~store.terminated[now]


class NpzData(FileData):
    """A .npz file: the arrays obs, action, reward, next_obs, terminated and, if it has one, truncated."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        path = Path(source)
        self.require(path.is_file(), f"{SOURCES}: there is no such file")
        try:
            self._arrays = dict(_headers(path))
            self.sha256 = file_sha256([path])
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            self.require(False, f"cannot be read as a .npz file ({one_line(error)})")
        missing = [name for name in FIELDS if name not in self._arrays]
        self.require(not missing, f"lacks the arrays {', '.join(missing)}; must have {', '.join(FIELDS)}")

        used = [name for name in (*FIELDS, "truncated") if name in self._arrays]
        rows = {name: (*self._arrays[name][0], 0)[0] for name in used}
        self.rows = rows["reward"]
        ok = self.rows > 0 and set(rows.values()) == {self.rows}
        self.require(ok, f"must have as many rows of each array, at least 1, and has {rows}")

    def check(self, obs: ObsSpec, action: ActionSpec) -> None:
        wanted: dict[str, tuple[tuple[int, ...], str]] = {
            "obs": (obs.shape, obs.dtype),
            "next_obs": (obs.shape, obs.dtype),
            "action": (action.env_shape, "float64"),
            "reward": ((), "float64"),
            "terminated": ((), "bool"),
            "truncated": ((), "bool"),
        }
        for name in [each for each in wanted if each in self._arrays]:
            self._check_shape(name, *self._arrays[name], *wanted[name])

    def read(self, store: Ring, action: ActionSpec) -> Array:
        every = slice(None)
        try:
            with np.load(self.source, allow_pickle=False) as arrays:
                for name in ("obs", "next_obs", "reward", "terminated", "truncated"):
                    if name in arrays:
                        self._put(getattr(store, name), every, arrays[name], name)
                self._put_actions(store.action, every, arrays["action"], action)
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise DamagedFile(Path(self.source), f"cannot be read ({one_line(error)})") from None
        self._end_episodes(store)
        return np.arange(self.rows)


class MinariData(FileData):
    """A Minari data set on this machine, with Box observations; nothing is downloaded."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        try:
            import minari
        except ImportError:
            self.require(False, f"needs Minari: {install('minari')}")
        try:
            self._data = minari.load_dataset(source.removeprefix(MINARI), download=False)
        except Exception as error:  # Minari has many
            self.require(False, f"cannot be opened ({one_line(error)})")
        self.rows = self._data.total_steps
        self.require(self.rows > 0, "this data set has no transitions")
        self.sha256 = file_sha256(sorted(Path(self._data.storage.data_path).rglob("*.*")))

    def check(self, obs: ObsSpec, action: ActionSpec) -> None:
        for name, space, row, dtype in (
            ("obs", self._data.observation_space, obs.shape, obs.dtype),
            ("action", self._data.action_space, action.env_shape, "float64"),
        ):
            shape: Any = getattr(space, "shape", None)
            self.require(shape is not None, f"its {name} are {space}: write them into a .npz file")
            self._check_shape(name, (self.rows, *(shape or ())), space.dtype, row, dtype)

    def read(self, store: Ring, action: ActionSpec) -> Array:
        start = 0
        for episode in self._data.iterate_episodes():
            rows = slice(start, start + len(episode))
            self._put(store.obs, rows, episode.observations[:-1], "observations")
            self._put(store.next_obs, rows, episode.observations[1:], "observations")
            self._put(store.reward, rows, episode.rewards, "rewards")
            self._put(store.terminated, rows, episode.terminations, "terminations")
            self._put_actions(store.action, rows, episode.actions, action)
            store.truncated[rows.stop - 1] = not episode.terminations[-1]
            start = rows.stop
        self._end_episodes(store)
        return np.arange(self.rows)


def file_sha256(paths: Iterable[Path]) -> str:
    """Returns the SHA-256 of the files' contents, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def _headers(path: Path) -> Iterable[tuple[str, tuple[tuple[int, ...], Any]]]:
    """Yields name, shape and dtype of each array, without reading its numbers."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                version = np.lib.format.read_magic(file)
                old = version == (1, 0)
                read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
            yield name.removesuffix(".npy"), (shape, dtype)
