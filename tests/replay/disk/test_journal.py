"""The journal brings back any checkpoint's ring, bit for bit, whatever happened in between."""

import json
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from safetensors import safe_open

from sac_lightning.replay.buffer import ReplayBuffer
from sac_lightning.replay.disk.journal import Journal
from sac_lightning.spaces import BoxAction, DiscreteAction, ObsSpec


def ring(capacity: int) -> ReplayBuffer:
    return ReplayBuffer.of(capacity, ObsSpec((2,), "float32"), BoxAction((-1.0,), (1.0,), (1,)), seed=0)


def add(replay: ReplayBuffer, stamps: list[int]) -> None:
    """Transition `stamp` holds its own number in every field."""
    values = np.asarray(stamps, dtype=np.float32)
    obs = np.stack([values, -values], axis=1)
    terminated, truncated, env = values % 2 == 0, values % 3 == 0, np.zeros(len(values), np.int16)
    replay.add(obs, values[:, None] / 7, values * 3, obs + 1, terminated, truncated, env, -values)


def assert_same(found: ReplayBuffer, expected: ReplayBuffer) -> None:
    assert found.added == expected.added
    for name, a, b in zip(found.store._fields, found.store, expected.store, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a[: len(found)], b[: len(found)]), name


class Died(BaseException):
    """The process ended here; nothing after this reaches the disk."""


class FailingDisk:
    """Lets `calls` disk operations through; the next one happens by half, and no later one at all."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __enter__(self) -> "FailingDisk":
        real_open, real_replace, real_unlink = Path.open, Path.replace, Path.unlink
        disk = self

        def opened(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            file = real_open(path, mode, *args, **kwargs)
            return HalfWriter(file, disk) if "w" in mode else file

        self.patches = [
            mock.patch.object(Path, "open", opened),
            mock.patch.object(Path, "replace", lambda path, to: self.count() or real_replace(path, to)),
            mock.patch.object(Path, "unlink", lambda path, **kw: self.count() or real_unlink(path, **kw)),
            mock.patch("os.fsync", self.sync),
        ]
        for patch in self.patches:
            patch.start()
        return self

    def __exit__(self, *error: object) -> None:
        for patch in self.patches:
            patch.stop()

    def sync(self, handle: int) -> None:
        self.count()

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Died


class HalfWriter:
    def __init__(self, file: Any, disk: FailingDisk) -> None:
        self.file, self.disk = file, disk

    def write(self, content: Any) -> None:
        try:
            self.disk.count()
        except Died:
            self.file.write(memoryview(content)[: len(content) // 2])
            raise
        self.file.write(content)

    def __enter__(self) -> "HalfWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


class JournalMachine(RuleBasedStateMachine):
    """Against the simplest model: a checkpoint is the list of all stamps up to it."""

    @initialize(capacity=st.integers(2, 9))
    def start(self, capacity: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.directory = Path(self.folder.name) / "replay"
        self.capacity = capacity
        self.next_stamp = 0
        self.checkpoints: list[tuple[Any, list[int]]] = [([], [])]
        self.resume_from(0)

    def resume_from(self, index: int) -> None:
        manifest, stamps = self.checkpoints[index]
        self.journal, self.replay, self.stamps = Journal(self.directory), ring(self.capacity), list(stamps)
        self.journal.load(self.replay, manifest, len(stamps))
        assert_same(self.replay, self.expected(stamps))

    def expected(self, stamps: list[int]) -> ReplayBuffer:
        replay = ring(self.capacity)
        for stamp in stamps:
            add(replay, [stamp])
        return replay

    @rule(steps=st.integers(1, 25))
    def collect(self, steps: int) -> None:
        for _ in range(steps):
            add(self.replay, [self.next_stamp])
            self.stamps.append(self.next_stamp)
            self.next_stamp += 1

    @rule()
    def checkpoint(self) -> None:
        manifest = json.loads(json.dumps(self.journal.save(self.replay)))
        self.checkpoints.append((manifest, list(self.stamps)))

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        self.resume_from(data.draw(st.integers(0, len(self.checkpoints) - 1)))

    @rule(data=st.data(), calls=st.integers(0, 15))
    def die_while_saving(self, data: st.DataObject, calls: int) -> None:
        try:
            with FailingDisk(calls):
                self.journal.save(self.replay)
        except Died:
            pass
        self.resume(data)

    @rule(calls=st.integers(0, 15))
    def survive_a_full_disk(self, calls: int) -> None:
        """The save fails, the run goes on."""
        try:
            with FailingDisk(calls):
                self.journal.save(self.replay)
        except Died:
            pass

    @precondition(lambda self: len(self.checkpoints) > 1)
    @rule(data=st.data())
    def drop_a_checkpoint(self, data: st.DataObject) -> None:
        del self.checkpoints[data.draw(st.integers(1, len(self.checkpoints) - 1))]

    @rule()
    def prune(self) -> None:
        self.journal.prune(manifest for manifest, _ in self.checkpoints)

    @rule(data=st.data(), calls=st.integers(0, 3))
    def die_while_pruning(self, data: st.DataObject, calls: int) -> None:
        try:
            with FailingDisk(calls):
                self.prune()
        except Died:
            pass
        self.resume(data)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.prune()
            for manifest, stamps in self.checkpoints:
                replay = ring(self.capacity)
                Journal(self.directory).load(replay, manifest, len(stamps))
                assert_same(replay, self.expected(stamps))
            self.resume_from(0)
            self.journal.prune(manifest for manifest, _ in self.checkpoints)
            if self.directory.exists():
                needed = {segment["file"] for manifest, _ in self.checkpoints for segment in manifest}
                assert {path.name for path in self.directory.iterdir()} == needed
            self.folder.cleanup()


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_a_segment_is_a_safetensors_file(tmp_path: Path) -> None:
    replay = ring(10)
    add(replay, [1, 2, 3])
    (segment,) = Journal(tmp_path).save(replay)
    with safe_open(tmp_path / segment["file"], "pt") as file:
        assert file.metadata() == {
            "format": "sac_lightning.replay",
            "version": "4",
            "first": "0",
            "end": "3",
        }
        names = list(file.keys())
        assert sorted(names) == sorted(replay.store._fields)
        for name in names:
            assert torch.equal(file.get_tensor(name), getattr(replay.store, name)[:3])
    assert segment["bytes"] == (tmp_path / segment["file"]).stat().st_size


def test_a_save_without_new_transitions_writes_nothing(tmp_path: Path) -> None:
    replay, journal = ring(4), Journal(tmp_path / "replay")
    assert journal.save(replay) == []
    add(replay, [1, 2])
    first = journal.save(replay)
    assert journal.save(replay) == first
    assert len(list((tmp_path / "replay").iterdir())) == 1


def test_a_save_after_more_than_a_ring_holds_the_ring_only(tmp_path: Path) -> None:
    replay, journal = ring(4), Journal(tmp_path)
    add(replay, [0, 1])
    journal.save(replay)
    for stamp in range(2, 12):
        add(replay, [stamp])
    (segment,) = journal.save(replay)  # 12 were added; a ring of 4 holds 8 … 11
    assert (segment["first"], segment["end"]) == (8, 12)


def test_segments_of_overwritten_rows_leave_the_manifest(tmp_path: Path) -> None:
    replay, journal = ring(4), Journal(tmp_path)
    for stamp in range(7):
        add(replay, [stamp])
        manifest = journal.save(replay)
    assert [segment["first"] for segment in manifest] == [3, 4, 5, 6]


def test_rewriting_history_leaves_the_other_timeline_alone(tmp_path: Path) -> None:
    replay, journal = ring(8), Journal(tmp_path)
    add(replay, [0, 1])
    early = journal.save(replay)
    add(replay, [2, 3])
    late = journal.save(replay)

    again = ring(8)
    journal = Journal(tmp_path)
    journal.load(again, early, 2)
    add(again, [8, 9])
    other = journal.save(again)
    assert other[0] == late[0]
    assert other[1]["file"] != late[1]["file"]

    back = ring(8)
    Journal(tmp_path).load(back, late, 4)
    assert_same(back, replay)


def test_saving_a_buffer_behind_the_journal_is_refused(tmp_path: Path) -> None:
    replay, journal = ring(8), Journal(tmp_path)
    add(replay, [0, 1])
    journal.save(replay)
    with pytest.raises(RuntimeError, match="load the journal first"):
        journal.save(ring(8))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int32", "int64", "int8"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 5, 5)])
def test_any_obs_comes_back(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    def buffer() -> ReplayBuffer:
        return ReplayBuffer.of(6, ObsSpec(shape, dtype), DiscreteAction(5), num_envs=4, seed=0)

    rng = np.random.default_rng(0)
    replay, journal = buffer(), Journal(tmp_path)
    for _ in range(5):
        obs = rng.integers(0, 100, (4, *shape)).astype(dtype)
        over, cut = rng.random(4) < 0.5, rng.random(4) < 0.5
        env, log_prob = np.arange(4, dtype=np.int16), rng.normal(size=4)
        replay.add(obs, rng.integers(0, 5, 4), rng.normal(size=4), obs[::-1], over, cut, env, log_prob)
        manifest = journal.save(replay)
    back = buffer()
    Journal(tmp_path).load(back, manifest, replay.added)
    assert_same(back, replay)
