"""The ring, against a plain Python list."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sac_lightning import ConfigError, ReplayDataModule
from sac_lightning.replay import ReplayBuffer, check_fits, planned_bytes
from sac_lightning.spaces import ActionSpec, BoxAction, DiscreteAction, ObsSpec

OBS = ObsSpec((2,), "float32")
BOX, CHOICE = BoxAction((-2.0,), (2.0,), (1,)), DiscreteAction(5)


def rows(start: int, count: int, obs: ObsSpec = OBS, action: ActionSpec = CHOICE) -> tuple[Any, ...]:
    """`count` distinct transitions: number i has reward i and next_obs = obs + 1."""
    number = np.arange(start, start + count)
    dtype = np.dtype(obs.dtype)
    shaped = np.broadcast_to(number.reshape(-1, *[1] * len(obs.shape)), (count, *obs.shape))
    acts = number % 5 if isinstance(action, DiscreteAction) else number[:, None] / 1000
    return (
        (shaped % 200).astype(dtype),
        acts,
        number.astype(np.float64),
        (shaped % 200 + 1).astype(dtype),
        number % 3 == 0,
        number % 7 == 0,
        number % 4,
        -number,
    )


def filled(capacity: int, count: int, seed: int = 0) -> ReplayBuffer:
    buffer = ReplayBuffer.of(capacity, OBS, CHOICE, num_envs=4, seed=seed)
    for start in range(count):
        buffer.add(*rows(start, 1))
    return buffer


@settings(max_examples=60, deadline=None)
@given(capacity=st.integers(1, 12), sizes=st.lists(st.integers(0, 12), max_size=12))
def test_the_ring_holds_what_a_list_would(capacity: int, sizes: list[int]) -> None:
    buffer = ReplayBuffer.of(capacity, OBS, CHOICE, num_envs=4, seed=0)
    model: list[int] = []
    for size in sizes:
        count = min(size, capacity)
        start = buffer.added
        buffer.add(*rows(start, count))
        model = (model + list(range(start, start + count)))[-capacity:]
        assert len(buffer) == len(model)
        assert buffer.added == start + count
        # Transition i lies in row i mod capacity, whole.
        for number in model:
            row = number % capacity
            obs, action, reward, next_obs, terminated, truncated, env, log_prob = (
                field[row] for field in buffer.store
            )
            assert (bool(truncated), int(env)) == (number % 7 == 0, number % 4)
            assert float(log_prob) == -number
            assert obs.tolist() == [number % 200] * 2 and next_obs.tolist() == [number % 200 + 1] * 2
            assert (int(action), float(reward), bool(terminated)) == (number % 5, number, number % 3 == 0)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_observations_keep_their_dtype_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    spec = ObsSpec(shape, dtype)
    buffer = ReplayBuffer.of(10, spec, BOX, seed=0)
    buffer.add(*rows(0, 7, spec, BOX))
    batch = buffer.sample(4)
    assert batch.obs.shape == batch.next_obs.shape == (4, *shape)
    assert batch.obs.dtype == batch.next_obs.dtype == getattr(torch, dtype)
    assert torch.equal(batch.next_obs, batch.obs + 1)
    assert batch.action.shape == (4, 1) and batch.action.dtype == torch.float32
    assert batch.reward.shape == batch.discount.shape == batch.weight.shape == batch.index.shape == (4,)
    assert batch.reward.dtype == batch.discount.dtype == batch.weight.dtype == torch.float32


def test_a_drawn_transition_is_whole() -> None:
    batch = filled(50, 80).sample(120)
    number = batch.reward.long()
    assert torch.equal(batch.action, number % 5)
    assert torch.equal(batch.obs[..., 0].long(), number % 200)
    # One step: discount γ (1 − terminated); a truncated transition keeps its bootstrap.
    assert torch.equal(batch.discount, torch.where(number % 3 == 0, 0.0, 0.99))
    assert torch.equal(batch.index, number % 50)
    assert torch.equal(batch.weight, torch.ones(120))
    assert number.min() >= 30  # the oldest 30 have made room


def test_sampling_is_uniform_over_what_is_stored() -> None:
    drawn = filled(20, 33).sample(10_000).reward.long()
    observed = torch.bincount(drawn - 13, minlength=20).numpy()  # 13 … 32 are stored
    assert observed.sum() == 10_000 and len(observed) == 20
    assert stats.chisquare(observed).pvalue > 0.01


def test_nothing_is_drawn_from_rows_never_written() -> None:
    drawn = filled(1000, 3).sample(500).reward
    assert set(drawn.tolist()) == {0.0, 1.0, 2.0}


def test_sampling_has_its_own_random_stream() -> None:
    before = torch.get_rng_state()
    first = filled(20, 20, seed=4).sample(16).reward
    torch.manual_seed(77)
    again = filled(20, 20, seed=4).sample(16).reward
    other = filled(20, 20, seed=5).sample(16).reward
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.manual_seed(0)
    assert torch.equal(before, torch.get_rng_state())


def test_one_draw_of_many_batches_draws_what_the_stream_says() -> None:
    # [G, B] row by row: a draw of G·B indices is the same whatever its shape
    assert torch.equal(filled(20, 20).draw(4, 6).index.flatten(), filled(20, 20).draw(1, 24).index[0])


def test_a_saved_state_continues_the_same_draws() -> None:
    buffer = filled(20, 30)
    buffer.sample(5)
    state = buffer.state_dict()
    expected = [buffer.sample(16).reward for _ in range(3)]
    other = filled(20, 30, seed=9)
    other.load_state_dict(state)
    assert other.added == 30
    assert all(torch.equal(other.sample(16).reward, batch) for batch in expected)


def test_a_state_is_plain_data(tmp_path: Any) -> None:
    torch.save(filled(5, 7).state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["added"] == 7


def test_an_empty_buffer_cannot_be_sampled() -> None:
    with pytest.raises(RuntimeError, match="empty"):
        ReplayBuffer.of(5, OBS, CHOICE, seed=0).sample(1)


def test_one_step_of_all_envs_must_fit() -> None:
    with pytest.raises(
        ConfigError, match=r"replay\.capacity=3: must have room for a step of all envs: at least 4"
    ):
        ReplayBuffer.of(3, OBS, CHOICE, seed=0).add(*rows(0, 4))
    with pytest.raises(ConfigError, match=r"replay\.capacity=0"):
        ReplayBuffer.of(0, OBS, CHOICE, seed=0)


@pytest.mark.parametrize("action", [BOX, CHOICE])
@pytest.mark.parametrize("spec", [OBS, ObsSpec((8, 8), "uint8")])
def test_planned_size_is_the_allocated_size(spec: ObsSpec, action: ActionSpec) -> None:
    store = ReplayBuffer.of(100, spec, action, seed=0).store
    assert planned_bytes(100, spec, action) == sum(field.numel() * field.element_size() for field in store)


def test_planned_size_by_hand() -> None:
    # 2·3·4 obs + 4 action + 4 reward + 1 terminated + 1 truncated + 2 env + 4 log_prob = 40 bytes; an
    # index takes 8: 44
    spec = ObsSpec((3,), "float32")
    assert planned_bytes(1000, spec, BOX) == 40_000
    assert planned_bytes(1000, spec, CHOICE) == 44_000


def test_a_buffer_larger_than_memory_is_refused_before_it_is_allocated() -> None:
    spec = ObsSpec((84, 84, 4), "uint8")
    capacity = 2 * psutil.virtual_memory().total // planned_bytes(1, spec, CHOICE)
    resident = psutil.Process().memory_info().rss
    with pytest.raises(ConfigError, match=rf"replay\.capacity={capacity}: needs .* GiB of .* GiB") as caught:
        check_fits(capacity, spec, CHOICE, torch.device("cpu"))
    assert psutil.Process().memory_info().rss - resident < 2**26
    fits = int(str(caught.value).rpartition(" ")[2])
    assert 0 < fits < capacity
    assert check_fits(fits // 2, spec, CHOICE, torch.device("cpu")) == planned_bytes(fits // 2, spec, CHOICE)


def test_several_ranks_share_the_rows_and_each_has_all_prior_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, cpu, gpu = ObsSpec((3,), "float32"), torch.device("cpu"), torch.device("cuda")
    # 44 bytes a row: 1,000 rows of all ranks and 4 times 100 prior ones in one memory
    assert check_fits(1000, spec, CHOICE, cpu, prior_rows=100, ranks=4) == 44 * 1400
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (20_000, 20_000))
    assert check_fits(1000, spec, CHOICE, gpu, prior_rows=100, ranks=4) == 44 * (250 + 100)
    # 95 % of 20,000 bytes are 431 rows, 331 of them for the ring of each of 4 GPUs
    with pytest.raises(ConfigError, match=r"capacity=2000: .* free on each GPU: use at most 1324"):
        check_fits(2000, spec, CHOICE, gpu, prior_rows=100, ranks=4)


def test_rows_in_files_are_those_in_memory_and_leave_no_file(tmp_path: Path) -> None:
    both = [ReplayBuffer(n_step=3, storage="memmap"), ReplayBuffer(n_step=3)]
    for buffer in both:
        buffer.allocate(50, OBS, CHOICE, num_envs=4, folder=tmp_path)
        for start in range(0, 80, 4):
            buffer.add(*rows(start, 4))
    files, memory = both
    for found, expected in zip(files.store, memory.store, strict=True):
        assert found.dtype == expected.dtype and torch.equal(found.nan_to_num(), expected.nan_to_num())
        assert found.data_ptr() % 64 == 0  # compiled code reads whole vectors
    assert torch.equal(files.sample(16).obs, memory.sample(16).obs)
    assert list(tmp_path.iterdir()) == []
    if (maps := Path("/proc/self/maps")).exists():
        assert maps.read_text().count(str(tmp_path)) == len(files.store)


def test_files_larger_than_the_disk_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, folder = ObsSpec((84, 84, 4), "uint8"), tmp_path / "not" / "yet"
    capacity = 2 * shutil.disk_usage(tmp_path).total // planned_bytes(1, spec, CHOICE)
    with pytest.raises(
        ConfigError, match=rf"replay\.capacity={capacity}: .* free on the disk of {folder}: use"
    ):
        check_fits(capacity, spec, CHOICE, torch.device("cpu"), folder=folder)
    assert check_fits(1, spec, CHOICE, torch.device("cpu"), folder=folder) == planned_bytes(1, spec, CHOICE)

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(ConfigError, match=rf"GiB in {tmp_path}: No space left on device; use a smaller one"):
        ReplayBuffer(storage="memmap").allocate(9, OBS, CHOICE, folder=tmp_path)
    with pytest.raises(ConfigError, match=r"replay\.storage=memmap: must be memory with device=meta"):
        ReplayDataModule("Pendulum-v1", replay=ReplayBuffer(storage="memmap"), device="meta")
