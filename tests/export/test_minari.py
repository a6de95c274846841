"""The replay journal as a Minari data set: the same rows, cut into episodes where they were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from gymnasium import spaces
from safetensors.numpy import load_file
from tests.cli.conftest import Command, everything, mistake
from tests.export.conftest import RUNS

from sac_lightning.spaces import Array
from sac_lightning.training.module import SACModule

FIELDS = ("obs", "action", "reward", "next_obs", "terminated")


def stored(run: Path, name: str) -> tuple[int, dict[str, Array]]:
    """The rows of a checkpoint's segments, read without this package; the first's number."""
    import torch

    content = torch.load(run / "checkpoints" / name, weights_only=True)
    manifest = content["ReplayDataModule"]["journal"]
    parts = [load_file(run / "replay" / segment["file"]) for segment in manifest]
    return manifest[0]["first"], {key: np.concatenate([part[key] for part in parts]) for key in FIELDS}


def opened(root: Path, dataset: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The data set, as a user of Minari opens it."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    return minari.load_dataset(dataset)


@pytest.fixture
def datasets(
    run_of: Callable[[str], Path], export: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Any]:
    """The exported replay of a kind of run."""

    folder = tmp_path / "my sets"

    def made(kind: str) -> Any:
        line = (f"run={run_of(kind)}", "format=minari", "checkpoint=last", "out=my sets", "dataset=own-v3")
        ended = export(*line)
        assert ended.code == 0, ended.err
        assert everything(folder) >= {"own-v3", "own-v3/data/main_data.hdf5"}
        assert not [path for path in (folder).iterdir() if path.name.startswith(".")]
        assert f"MINARI_DATASETS_PATH='{folder}' and" in ended.out  # a shell needs the quotes
        return opened(folder, "own-v3", monkeypatch)

    return made


@pytest.mark.parametrize("kind", RUNS)
def test_dataset_holds_the_journal_row_by_row(
    kind: str, run_of: Callable[[str], Path], datasets: Callable[[str], Any]
) -> None:
    first, rows = stored(run_of(kind), "last.ckpt")
    module = SACModule.load_from_checkpoint(run_of(kind) / "checkpoints" / "last.ckpt")
    dataset = datasets(kind)
    assert dataset.total_steps == len(rows["reward"])
    used = []
    for episode in dataset.iterate_episodes():
        # One row has no twin: rewards and observations identify it.
        key = np.flatnonzero((rows["obs"] == episode.observations[0]).reshape(len(rows["obs"]), -1).all(-1))
        assert len(key) >= 1
        used.append((int(key[0]), episode))
    count = 0
    for start, episode in used:
        own = follow(rows, start, len(episode.rewards))
        count += len(own)
        np.testing.assert_array_equal(episode.observations[:-1], rows["obs"][own])
        np.testing.assert_array_equal(episode.observations[1:], rows["next_obs"][own])
        np.testing.assert_array_equal(episode.rewards, rows["reward"][own])
        np.testing.assert_array_equal(episode.terminations, rows["terminated"][own])
        actions = module.action_spec.to_env(rows["action"][own])
        np.testing.assert_array_equal(episode.actions, actions)
        assert (episode.actions.dtype, episode.observations.dtype) == (actions.dtype, rows["obs"].dtype)
        assert all(dataset.action_space.contains(action) for action in episode.actions)
        assert (episode.terminations | episode.truncations)[-1]
        assert not (episode.terminations | episode.truncations)[:-1].any()
    assert count == len(rows["reward"])
    assert first == (36 if kind == "categorical" else 0)  # its ring of 24 was overwritten


def follow(rows: dict[str, Array], start: int, length: int) -> list[int]:
    """Rows from `start` on, each the first later one that begins where the last one led."""
    own = [start]
    while len(own) < length:
        after = rows["next_obs"][own[-1]]
        same = (rows["obs"][own[-1] + 1 :] == after).reshape(len(rows["obs"]) - own[-1] - 1, -1).all(-1)
        own.append(own[-1] + 1 + int(np.flatnonzero(same)[0]))
    return own


@pytest.mark.parametrize(("kind", "num_envs"), [("uneven", 3), ("normal", 2), ("pixels", 1)])
def test_truncations_are_found_where_they_were(
    kind: str, num_envs: int, datasets: Callable[[str], Any]
) -> None:
    dataset = datasets(kind)
    known = list(dataset.storage.get_episode_metadata(range(dataset.total_episodes)))
    lengths: dict[int, list[int]] = {}
    for episode, about in zip(dataset.iterate_episodes(), known, strict=True):
        lengths.setdefault(int(about["env"]), []).append(len(episode.rewards))
        assert list(episode.rewards) == list(range(1, len(episode.rewards) + 1))  # the env counts its steps
        assert about["ends"] == ("truncated" if len(episode.rewards) == 7 else "checkpoint")
        assert about["begins"] == "reset"
    assert len(lengths) == num_envs
    for each in lengths.values():
        assert set(each[:-1]) == {7}
    if kind == "pixels":
        assert dataset.action_space == spaces.Discrete(3, start=5)


def test_overwritten_ring_begins_in_the_middle(
    run_of: Callable[[str], Path], datasets: Callable[[str], Any]
) -> None:
    _, rows = stored(run_of("categorical"), "last.ckpt")
    dataset = datasets("categorical")
    known = list(dataset.storage.get_episode_metadata(range(dataset.total_episodes)))
    assert sum(about["begins"] == "unknown" for about in known) == 2  # one of each env
    assert sum(about["ends"] == "terminated" for about in known) == rows["terminated"].sum()


def test_default_place_is_the_run_and_never_the_users_own(
    run_of: Callable[[str], Path], export: Command, home: Path
) -> None:
    run = run_of("tanh_normal")
    assert export(f"run={run}", "format=minari").code == 0
    assert (run / "minari" / "Pendulum-v1-sac-v0" / "data").is_dir()
    assert not (home / ".minari").exists()
    before = everything(run)
    line = mistake(export(f"run={run}", "format=minari"))
    assert line.startswith(f"out={run}/minari: already contains Pendulum-v1-sac-v0: remove it")
    assert everything(run) == before
