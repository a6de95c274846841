"""Prior data in files of other programs: NumPy arrays, Parquet columns, Minari data sets."""

import hashlib
import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sac_lightning.core.errors import install, one_line
from sac_lightning.core.files import DamagedFile
from sac_lightning.replay.prior import SOURCES, PriorData, RunData
from sac_lightning.replay.ring import Ring
from sac_lightning.spaces import ActionSpec, Array, ObsSpec

MINARI = "minari:"
FIELDS = ("obs", "action", "reward", "next_obs", "terminated")
OPTIONAL = "truncated"
AT_ONCE = 4096  # rows that are read or compared at a time


def prior_data(source: str) -> PriorData:
    """Returns what `source` names. Raises ConfigError, or DamagedFile."""
    if source.startswith(MINARI):
        return MinariData(source)
    kinds: dict[str, type[PriorData]] = {".npz": NpzData, ".parquet": ParquetData}
    return kinds.get(Path(source).suffix, RunData)(source)


class FileData(PriorData):
    """Transitions as other programs write them: actions are the env's own, and an episode follows another.

    An episode also ends where `next_obs` is not the next row's `obs`.
    """

    def _file(self) -> Path:
        """Returns where the file is. Raises ConfigError where there is none."""
        path = Path(self.source)
        self.require(path.is_file(), f"{SOURCES}: there is no such file")
        return path

    def _check_names(self, names: Iterable[str]) -> list[str]:
        """Returns those of FIELDS and OPTIONAL that are in `names`. Raises ConfigError where one lacks."""
        missing = [name for name in FIELDS if name not in names]
        self.require(not missing, f"lacks {', '.join(missing)}; must have {', '.join(FIELDS)}")
        return [name for name in (*FIELDS, OPTIONAL) if name in names]

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
        path = self._file()
        try:
            self._arrays = dict(_headers(path))
            self.sha256 = file_sha256([path])
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            self.require(False, f"cannot be read as a .npz file ({one_line(error)})")
        rows = {name: (*self._arrays[name][0], 0)[0] for name in self._check_names(self._arrays)}
        self.rows = rows["reward"]
        ok = self.rows > 0 and set(rows.values()) == {self.rows}
        self.require(ok, f"must have as many rows of each array, at least 1, and has {rows}")

    def check(self, obs: ObsSpec, action: ActionSpec) -> None:
        for name, (shape, dtype) in rows_of(obs, action).items():
            if name in self._arrays:
                self._check_shape(name, *self._arrays[name], shape, dtype)

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


class ParquetData(FileData):
    """A .parquet file with columns of the same names: numbers, or lists of a row's numbers in C order."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        path = self._file()
        try:
            from pyarrow.parquet import ParquetFile
        except ImportError:
            self.require(False, f"needs PyArrow: {install('parquet')}")
        try:
            with ParquetFile(path) as file:
                names = file.schema_arrow.names
                self._names = self._check_names(names)
                twice = [name for name in self._names if names.count(name) > 1]
                self.require(not twice, f"must have each column once, and has {', '.join(twice)} twice")
                self.rows = file.metadata.num_rows
                self.require(self.rows > 0, "has no rows")
                self._first = next(file.iter_batches(1, columns=self._names))
            self.sha256 = file_sha256([path])
        except (OSError, ValueError, NotImplementedError) as error:
            self.require(False, f"cannot be read as a .parquet file ({one_line(error)})")

    def check(self, obs: ObsSpec, action: ActionSpec) -> None:
        for name, (shape, dtype) in rows_of(obs, action).items():
            if name not in self._names:
                continue
            try:
                values = self._numbers(self._first, name)
            except ValueError as error:
                self.require(False, one_line(error))
            numbers = f"{name} has rows of {values.shape[1]} numbers; this env needs {shape}"
            self.require(values.shape[1] == math.prod(shape), numbers)
            self._check_shape(name, (1, *shape), values.dtype, shape, dtype)

    def read(self, store: Ring, action: ActionSpec) -> Array:
        from pyarrow.parquet import ParquetFile

        start = 0
        try:
            with ParquetFile(self.source) as file:
                for batch in file.iter_batches(AT_ONCE, columns=self._names):
                    rows = slice(start, start + len(batch))
                    for name in self._names:
                        column = getattr(store, name)
                        shape = action.env_shape if name == "action" else column.shape[1:]
                        values = self._numbers(batch, name).reshape(len(batch), *shape)
                        if name == "action":
                            self._put_actions(column, rows, values, action)
                        else:
                            self._put(column, rows, values, name)
                    start = rows.stop
        except (OSError, ValueError, NotImplementedError) as error:
            raise DamagedFile(Path(self.source), f"cannot be read ({one_line(error)})") from None
        self._end_episodes(store)
        return np.arange(self.rows)

    def _numbers(self, batch: Any, name: str) -> Array:
        """Returns a column as [rows, numbers of a row]. Raises ValueError where one is missing."""
        from pyarrow import compute, types

        column = kind = batch.column(name)
        lists = types.is_list, types.is_large_list, types.is_fixed_size_list
        numbers = types.is_integer, types.is_floating, types.is_boolean
        while any(is_list(column.type) for is_list in lists):
            if len(compute.list_value_length(column).unique()) != 1:
                raise ValueError(f"{name} has lists of different lengths")
            column = column.flatten()
        if not any(is_number(column.type) for is_number in numbers):
            raise ValueError(f"{name} has the type {kind.type}; must be numbers, or lists of numbers")
        if column.null_count:
            raise ValueError(f"{name} has missing values")
        values: Array = column.to_numpy(zero_copy_only=False, writable=True)
        return values.reshape(len(batch), -1)


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


def rows_of(obs: ObsSpec, action: ActionSpec) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns the shape of a row of each array, and the dtype that it must be convertible to."""
    return {
        "obs": (obs.shape, obs.dtype),
        "next_obs": (obs.shape, obs.dtype),
        "action": (action.env_shape, "float64"),
        "reward": ((), "float64"),
        "terminated": ((), "bool"),
        OPTIONAL: ((), "bool"),
    }


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
