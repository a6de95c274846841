"""A checkpoint's replay journal as episodes, and these as a Minari data set."""

import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium import spaces

from sac_lightning.core.errors import require
from sac_lightning.core.files import DamagedFile, sync_directory
from sac_lightning.export.actions import exported_action
from sac_lightning.replay import Journal, ReplayBuffer
from sac_lightning.replay.episodes import broken_off
from sac_lightning.spaces import ActionSpec, Array, ObsSpec

ROOT_VARIABLE = "MINARI_DATASETS_PATH"
DATASET = re.compile(r"[A-Za-z0-9_-]+-v\d+")


Beginning = Literal["reset", "unknown"]
End = Literal["terminated", "truncated", "checkpoint"]


class Rows(NamedTuple):
    """Stores transitions `first` … `first + M - 1` of a run in the order of collection, `[M, ...]` each.

    Before the transitions numbered `breaks` all episodes were cut off without a last step, as by a resume
    that could not restore the envs.
    """

    obs: Array
    action: Array
    reward: Array
    next_obs: Array
    terminated: Array
    truncated: Array
    env: Array
    first: int
    breaks: Sequence[int] = ()


@dataclass(frozen=True)
class Episode:
    """Lists the rows of one episode, in order; names its env and how it begins and ends."""

    rows: Array
    env: int
    begins: Beginning
    ends: End


def read_rows(state: Mapping[str, Any], journal: Path, specs: tuple[ObsSpec, ActionSpec]) -> Rows:
    """Reads the transitions that a checkpoint's data `state` refers to, from the segments in `journal`.

    That is all that its segments contain: at least what was in the buffer. Raises DamagedFile.
    """
    manifest, added = state["journal"], int(state["replay"]["added"])
    if not manifest or not added:
        raise DamagedFile(journal, "the checkpoint refers to no transitions of it")
    first = min(int(manifest[0]["first"]), added - 1)
    replay = ReplayBuffer.of(added - first, *specs)
    Journal(journal).load(replay, manifest, added)
    shift = first % replay.capacity  # transition i lies in row i mod capacity
    fields = [np.roll(each.numpy(), -shift, axis=0) if shift else each.numpy() for each in replay.store]
    named = dict(zip(replay.store._fields, fields, strict=True))
    del named["log_prob"]
    return Rows(**named, first=first, breaks=state["replay"]["breaks"])


def episodes(rows: Rows) -> list[Episode]:
    """Returns all rows as episodes, in the order in which they begin."""
    numbers = rows.first + np.arange(len(rows.env))
    done = rows.terminated | rows.truncated | broken_off(numbers, rows.env, rows.breaks)
    found = [episode for env in np.unique(rows.env) for episode in _episodes_of(rows, int(env), done)]
    return sorted(found, key=lambda episode: int(episode.rows[0]))


def _episodes_of(rows: Rows, env: int, done: Array) -> Iterator[Episode]:
    own = np.flatnonzero(rows.env == env)
    for number, piece in enumerate(np.split(own, np.flatnonzero(done[own[:-1]]) + 1)):
        begins: Beginning = "unknown" if number == 0 and rows.first > 0 else "reset"
        ends: End = "truncated"
        if rows.terminated[piece[-1]]:
            ends = "terminated"
        elif piece[-1] == own[-1] and not done[own[-1]]:
            ends = "checkpoint"
        yield Episode(piece, env, begins, ends)


def write_dataset(
    root: Path,
    dataset: str,
    rows: Rows,
    cut: Sequence[Episode],
    specs: tuple[ObsSpec, ActionSpec],
    **about: str,
) -> Path:
    """Writes `cut` as the data set `dataset` of the Minari root `root`, and returns its folder.

    It is written whole or not at all. `about` goes to Minari as it is (description, algorithm_name, …).
    Raises ConfigError when the data set is already there: a folder cannot be replaced in one step.
    """
    import minari

    final = root / dataset
    require(not final.exists(), "out", root, f"already contains {dataset}: remove it, or name another folder")
    temporary = root / f".{dataset}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    obs, action = specs
    try:
        with _minari_root(temporary), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about an author and a permalink
            created = minari.create_dataset_from_buffers(
                dataset,
                _buffers(rows, cut, action),  # one at a time in memory
                observation_space=obs_space(obs),
                action_space=exported_action(action).space(),
                jpeg_encoding=False,
                data_format="hdf5",
                **about,
            )
            metadata = [{"env": each.env, "begins": each.begins, "ends": each.ends} for each in cut]
            created.storage.update_episode_metadata(metadata)
        for folder, _, files in os.walk(temporary / dataset, topdown=False):
            for name in files:
                with (Path(folder) / name).open("rb") as file:
                    os.fsync(file.fileno())
            sync_directory(Path(folder))
        (temporary / dataset).rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_directory(root)
    return final


def check_name(dataset: str) -> None:
    """Raises ConfigError unless Minari takes `dataset` for a data set's id without a namespace."""
    ok = DATASET.fullmatch(dataset) is not None
    require(ok, "dataset", dataset, "must be letters, digits, - and _, and end in a version: pendulum-sac-v0")


def default_name(env_id: str) -> str:
    """Returns the data set's id for an env: Pendulum-v1 -> Pendulum-v1-sac-v0."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", env_id).strip("-") + "-sac-v0"


def _buffers(rows: Rows, cut: Sequence[Episode], action: ActionSpec) -> Iterator[Any]:
    from minari.data_collector import EpisodeBuffer

    for number, episode in enumerate(cut):
        own = episode.rows
        terminated = rows.terminated[own]
        truncated = np.zeros_like(terminated)
        truncated[-1] = episode.ends != "terminated"
        yield EpisodeBuffer(
            id=number,
            observations=np.concatenate((rows.obs[own], rows.next_obs[own[-1:]])),
            actions=action.to_env(rows.action[own]),
            rewards=rows.reward[own],
            terminations=terminated,
            truncations=truncated,
        )


def obs_space(spec: ObsSpec) -> spaces.Box:
    """Returns a Box of all that `spec` can represent: the env's own bounds are not in a checkpoint."""
    dtype = np.dtype(spec.dtype)
    if np.issubdtype(dtype, np.floating):
        return spaces.Box(-np.inf, np.inf, spec.shape, dtype.type)
    if dtype == np.bool_:
        return spaces.Box(0, 1, spec.shape, dtype.type)
    limits = np.iinfo(dtype)
    return spaces.Box(limits.min, limits.max, spec.shape, dtype.type)


@contextmanager
def _minari_root(root: Path) -> Iterator[None]:
    before = os.environ.get(ROOT_VARIABLE)
    os.environ[ROOT_VARIABLE] = str(root.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[ROOT_VARIABLE]
        else:
            os.environ[ROOT_VARIABLE] = before
