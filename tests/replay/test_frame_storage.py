"""Images that are stored once come back as if each had been stored wherever it is shown."""

import json
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_lightning import ConfigError
from sac_lightning.replay import BatchIndex, Journal, ReplayBuffer, planned_bytes
from sac_lightning.spaces import DiscreteAction, ObsSpec

ACTION = DiscreteAction(3)


def buffers(capacity: int, num_envs: int, n_step: int, stack: int) -> list[ReplayBuffer]:
    """One that stores images once, one that stores everything."""
    made = []
    for frames in (stack, 0):
        replay = ReplayBuffer(capacity, n_step=n_step, gamma=0.5, frame_stack=stack)
        with mock.patch.object(replay, "frames_of", return_value=frames):
            replay.allocate(capacity, ObsSpec((2 * stack, 2, 1), "uint8"), ACTION, num_envs=num_envs)
        made.append(replay)
    return made


class Envs:
    """Stacks frames of a few numbers, so that some are equal; an env that has just ended may skip a step."""

    def __init__(self, num_envs: int, stack: int, seed: int) -> None:
        self.rng, self.stack = np.random.default_rng(seed), stack
        self.seen = np.stack([self.first() for _ in range(num_envs)])
        self.skips = np.zeros(num_envs, bool)

    def frame(self) -> Any:
        return np.full((2, 2, 1), self.rng.integers(0, 9), np.uint8)

    def first(self) -> Any:
        return np.concatenate([self.frame()] * self.stack)

    def step(self, next_step: bool) -> tuple[Any, ...]:
        count = len(self.seen)
        following = np.stack([np.concatenate([each[2:], self.frame()]) for each in self.seen])
        terminated, truncated = self.rng.random((2, count)) < 0.2
        kept = np.flatnonzero(~self.skips)
        rows = (self.seen, self.rng.integers(0, 3, count), self.rng.random(count), following)
        rows += terminated, truncated, np.arange(count, dtype=np.int16), self.rng.random(count)
        over = (terminated | truncated) & ~self.skips
        self.seen = np.stack(
            [self.first() if ends else obs for ends, obs in zip(over, following, strict=True)]
        )
        self.skips = over & next_step
        return tuple(each[kept] for each in rows)


def assert_same(once: ReplayBuffer, twice: ReplayBuffer) -> None:
    rows = torch.arange(len(once))
    a, b = (each.gather(BatchIndex(rows, torch.ones(len(rows)))) for each in (once, twice))
    for name, found, expected in zip(a._fields, a, b, strict=True):
        assert found.dtype == expected.dtype and torch.equal(found, expected), name
    for found, expected in zip(once.store, twice.store, strict=True):
        assert torch.equal(found[: len(once)], expected[: len(once)])


@settings(max_examples=25, deadline=None)
@given(
    num_envs=st.integers(1, 8),
    n_step=st.integers(1, 3),
    stack=st.integers(1, 3),
    room=st.integers(0, 20),
    steps=st.integers(1, 12),
    next_step=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_same_transitions_as_where_everything_is_stored(
    num_envs: int, n_step: int, stack: int, room: int, steps: int, next_step: bool, seed: int
) -> None:
    envs, (once, twice) = Envs(num_envs, stack, seed), buffers(num_envs + room, num_envs, n_step, stack)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(folder)
        for number in range(steps):
            rows = envs.step(next_step)
            for replay in (once, twice):
                replay.add(*rows)
                if number == steps // 2:  # as a resume that could not restore the envs
                    replay.end_episodes()
            assert_same(once, twice)
            if number % 3 == 0:
                manifest, state, end = journal.save(once), once.state_dict(), once.added
                Journal(folder).check(json.loads(json.dumps(manifest)))
                read, _ = buffers(once.capacity, num_envs, n_step, stack)
                Journal(folder).load(read, manifest, end)
                read.load_state_dict(state)
                assert_same(read, twice)
    assert once.frames is not None
    shown = once.frames._shown
    slots = np.concatenate(
        [field.slots[: len(once)].numpy() for field in (once.store.obs, once.store.next_obs)]
    )
    assert shown.sum() == slots.size and set(np.flatnonzero(shown)) == set(np.unique(slots))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux gives memory when it is written")
def test_memory_is_that_of_the_plan() -> None:
    spec, capacity = ObsSpec((4, 64, 64), "uint8"), 5000
    planned = planned_bytes(capacity, spec, ACTION, frames=4)
    assert planned < planned_bytes(capacity, spec, ACTION) / 7.5  # a frame of eight
    before = psutil.Process().memory_info().rss
    replay = ReplayBuffer(capacity, frame_stack=4)
    replay.allocate(capacity, spec, ACTION)
    envs = np.random.default_rng(0).integers(0, 255, (capacity + 5, 64, 64), np.uint8)
    for number in range(capacity):
        now, then = envs[None, number : number + 4], envs[None, number + 1 : number + 5]
        replay.add(now, np.zeros(1, np.int64), np.zeros(1), then, np.zeros(1, bool))
    used = psutil.Process().memory_info().rss - before - envs.nbytes
    assert used < 1.2 * planned + 4e6


def test_frames_are_shared_whatever_dtype_the_env_gives() -> None:
    replay = ReplayBuffer(4, frame_stack=2)
    replay.allocate(4, ObsSpec((2, 3), "float32"), ACTION)
    frames = np.random.default_rng(0).random((5, 3))  # float64
    for number in range(3):
        now, then = frames[None, number : number + 2], frames[None, number + 1 : number + 3]
        replay.add(now, np.zeros(1, np.int64), np.zeros(1), then, np.zeros(1, bool))
    assert replay.frames is not None
    assert replay.frames._written == 5  # not 3 · 2 · 2
    assert torch.equal(replay.store.next_obs[2:3], torch.tensor(frames[None, 3:5], dtype=torch.float32))


def test_a_stack_must_divide_the_observation() -> None:
    with pytest.raises(
        ConfigError, match=r"replay\.frame_stack=3: must divide the first size .* \(4, 8, 8\)"
    ):
        ReplayBuffer(frame_stack=3).follow_env(None, ObsSpec((4, 8, 8), "uint8"), ACTION)
