"""Prior data: they come back as they were, in every mini-batch, and never change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from sac_lightning import ConfigError
from sac_lightning.core.files import DamagedFile
from sac_lightning.export.dataset import Rows, episodes, write_dataset
from sac_lightning.replay import BatchIndex, MixedReplay
from sac_lightning.spaces import (
    ActionSpec,
    Array,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
    ObsSpec,
)

OBS, BOX = ObsSpec((1,), "float32"), BoxAction((-2.0,), (2.0,), (1,))
NUMBERS = (0, 1, 2, 10, 11, 20, 21)  # of the states; three episodes, the first ends by itself


def arrays() -> dict[str, Array]:
    """Transition of state s: reward s, next state s + 1; states are numbers below 0.1."""
    number = np.array(NUMBERS, np.float64)
    return {
        "obs": number[:, None],
        "action": (number[:, None] - 10) / 10,
        "reward": number,
        "next_obs": number[:, None] + 1,
        "terminated": number == 2,
    }


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., str]:
    """Writes the arrays, some of them changed; None leaves one out."""

    def write(**changed: Any) -> str:
        found = {key: value for key, value in {**arrays(), **changed}.items() if value is not None}
        np.savez(tmp_path / "prior.npz", **found)
        return str(tmp_path / "prior.npz")

    return write


def mixed(source: str, capacity: int = 8, **options: Any) -> MixedReplay:
    replay = MixedReplay(gamma=0.5, data=[source], **options)
    replay.follow_env(None, OBS, BOX)
    replay.allocate(capacity, OBS, BOX)
    return replay


def step(replay: MixedReplay, number: int) -> None:
    one = np.ones((1, 1))
    replay.add(one * number, one * 0.5, np.array([100.0]), one * number + 1, np.zeros(1, bool))


def test_half_of_each_mini_batch_is_prior_data_and_these_stay(npz: Callable[..., str]) -> None:
    replay = mixed(npz())
    before = replay.draw(3, 10).index  # before the first step there is nothing else
    assert bool((before >= 8).all()) and set(replay.all_rows.reward[before].flatten().tolist()) <= set(
        NUMBERS
    )
    for number in range(30):  # the ring is overwritten three times
        step(replay, number)
    prior = replay.draw(40, 10).index >= 8
    assert prior.sum(dim=1).tolist() == [5] * 40
    assert replay.all_rows.reward[8:].tolist() == list(NUMBERS)
    assert replay.all_rows.obs[8:, 0].tolist() == list(NUMBERS)
    # An action of −1 … 1.1 in the env's own units, whose bounds are ±2.
    assert replay.all_rows.action[8:, 0].tolist() == pytest.approx([(n - 10) / 20 for n in NUMBERS])
    age = replay.age()
    assert bool(age.isnan().eq(prior).all()) and len(replay) == 8
    assert replay.state_dict().keys() == {"added", "generator", "breaks"}  # no prior data in a checkpoint


@pytest.mark.parametrize("truncated", [None, np.array(NUMBERS) == 10])
def test_n_step_returns_stay_within_an_episode(npz: Callable[..., str], truncated: Array | None) -> None:
    replay = mixed(npz(truncated=truncated), n_step=3)
    batch = replay.gather(BatchIndex(8 + torch.arange(7), torch.ones(7)))
    # γ = ½. From state 0: 0 + 1/2 + 2/4, and 2 is the end. From 20: 20 + 21/2, where the data end.
    from_10 = 10 + 11 / 2 if truncated is None else 10
    assert batch.reward.tolist() == [1.0, 2.0, 2.0, from_10, 11.0, 30.5, 21.0]
    assert batch.discount.tolist() == [0.0, 0.0, 0.0, 0.25 if truncated is None else 0.5, 0.5, 0.25, 0.5]
    assert batch.next_obs[:, 0].tolist() == [3, 3, 3, 12 if truncated is None else 11, 12, 22, 22]


@pytest.mark.parametrize(
    "action",
    [
        BoxAction((-2.0, 0.0), (2.0, 5.0), (2, 1)),
        BoxAction((-np.inf,), (np.inf,), (1,)),
        DiscreteAction(4, start=3),
        MultiDiscreteAction((2, 3), (0, 5), (2,)),
        MultiDiscreteAction((17, 17), (0, 1), (2,)),
        HybridAction(3, BoxAction((-1.0,), (3.0,), (1,))),
    ],
    ids=str,
)
def test_actions_come_back_from_the_env_s_units(action: ActionSpec) -> None:
    inside = action.random(np.random.default_rng(0), 50)
    outside = action.to_env(inside)
    assert outside.shape[1:] == action.env_shape
    np.testing.assert_allclose(action.from_env(outside), inside, atol=1e-6)
    if action.choices:
        with pytest.raises(ValueError, match="counted from"):
            action.from_env(outside + 40)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"reward": None}, "lacks reward; must have obs, action, reward, next_obs, terminated"),
        ({"reward": np.zeros(6)}, "must have as many rows of each array, at least 1"),
        ({"obs": np.zeros((7, 3))}, r"obs has rows of shape \(3,\); this env needs \(1,\)$"),
        ({"obs": np.full((7, 1), "a")}, "obs has the dtype <U1, which cannot be converted to float32"),
        ({"action": np.zeros(7)}, r"action has rows of shape \(\)"),
        ({"truncated": np.zeros((7, 1), bool)}, r"truncated has rows of shape \(1,\)"),
    ],
)
def test_other_spaces_are_refused_before_anything_is_read(
    npz: Callable[..., str], changed: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError, match=rf"replay\.data=.*prior\.npz: {line}"):
        MixedReplay(data=[npz(**changed)]).follow_env(None, OBS, BOX)


@pytest.mark.parametrize("value", [np.nan, 1e39])  # float32 ends at 3.4e38
def test_numbers_that_cannot_be_used_are_refused(npz: Callable[..., str], value: float) -> None:
    with pytest.raises(DamagedFile, match=r"prior\.npz: reward has numbers that are not finite in torch\.f"):
        mixed(npz(reward=np.full(7, value)))


def test_a_damaged_array_is_told(npz: Callable[..., str]) -> None:
    rows = np.random.default_rng(0).random((4000, 1))  # more than is read to know their shape
    many = {"obs": rows, "action": rows, "next_obs": rows, "terminated": np.zeros(4000, bool)}
    file = Path(npz(**many, reward=rows[:, 0] + 1))
    content = bytearray(file.read_bytes())
    content[content.index((rows[3000:3010, 0] + 1).tobytes())] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"prior\.npz: cannot be read \(.*CRC"):
        mixed(str(file))


def test_frame_stacks_are_stored_whole(npz: Callable[..., str]) -> None:
    replay = MixedReplay(data=[npz()], frame_stack=4)  # as env files with images ask for
    assert replay.frames_of(ObsSpec((4, 8, 8), "uint8"), torch.device("cpu")) == 0


def test_updates_before_the_first_env_step_need_raw_numbers(npz: Callable[..., str]) -> None:
    replay = MixedReplay(data=[npz()], offline_steps=5)
    replay.check_normalization(is_raw=True)
    with pytest.raises(ConfigError, match=r"replay\.offline_steps=5: must be 0 with normalization"):
        replay.check_normalization(is_raw=False)
    MixedReplay(data=[npz()]).check_normalization(is_raw=False)


def test_changed_data_are_refused(npz: Callable[..., str]) -> None:
    was = MixedReplay(data=[npz()]).sha256
    MixedReplay(data=[npz()], sha256=was)
    with pytest.raises(ConfigError, match=r"prior\.npz: is not what it was: its sha256 is"):
        MixedReplay(data=[npz(reward=np.zeros(7))], sha256=was)
    with pytest.raises(ConfigError, match=r"replay\.data=nothing: must name the folder of a run"):
        MixedReplay(data=["nothing"])


def test_a_minari_data_set_has_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("minari")
    found = {key: array.astype(np.float32) for key, array in arrays().items() if key != "terminated"}
    ends = arrays()["terminated"]
    inside = {**found, "action": BOX.from_env(found["action"])}
    rows = Rows(**inside, terminated=ends, truncated=np.isin(NUMBERS, (11, 21)), env=np.zeros(7), first=0)
    write_dataset(tmp_path, "prior-v0", rows, episodes(rows), (OBS, BOX))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    replay = mixed("minari:prior-v0", n_step=3)
    assert replay.all_rows.obs[8:, 0].tolist() == list(NUMBERS)
    assert replay.all_rows.action[8:, 0].tolist() == pytest.approx([(n - 10) / 20 for n in NUMBERS])
    assert (replay.next_row[8:] - 8).tolist() == [1, 2, -9, 4, -9, 6, -9]
    with pytest.raises(ConfigError, match=r"replay\.data=minari:other-v0: cannot be opened"):
        MixedReplay(data=["minari:other-v0"])


def parquet(folder: Path, **changed: Any) -> str:
    """Writes the arrays as columns, rows of several numbers as lists; None leaves one out."""
    found = {key: value for key, value in {**arrays(), **changed}.items() if value is not None}
    columns = {
        key: value if isinstance(value, pa.Array) else pa.array(list(value)) for key, value in found.items()
    }
    pa.parquet.write_table(pa.table(columns), folder / "prior.parquet")
    return str(folder / "prior.parquet")


def test_a_parquet_file_has_the_same_rows_as_the_arrays(tmp_path: Path, npz: Callable[..., str]) -> None:
    truncated = np.array(NUMBERS) == 10
    one, other = (
        mixed(parquet(tmp_path, truncated=truncated), n_step=3),
        mixed(npz(truncated=truncated), n_step=3),
    )
    for name, column in one.all_rows._asdict().items():
        assert torch.equal(column[8:].nan_to_num(), getattr(other.all_rows, name)[8:].nan_to_num()), name
    assert torch.equal(one.next_row[8:], other.next_row[8:])


def test_rows_of_parquet_files_are_lists_of_any_kind_in_c_order(tmp_path: Path) -> None:
    images = np.arange(7 * 6, dtype=np.uint8).reshape(7, 2, 3)
    nested = pa.array(images.tolist(), pa.list_(pa.list_(pa.uint8())))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(images.flatten()), 6)
    obs, action = ObsSpec((2, 3), "uint8"), DiscreteAction(4, start=3)
    source = parquet(tmp_path, obs=nested, next_obs=flat, action=np.array([3, 4, 5, 6, 3, 4, 5]))
    replay = MixedReplay(data=[source])
    replay.follow_env(None, obs, action)
    replay.allocate(8, obs, action)
    assert replay.all_rows.obs[8:].tolist() == replay.all_rows.next_obs[8:].tolist() == images.tolist()
    assert replay.all_rows.action[8:].flatten().tolist() == [0, 1, 2, 3, 0, 1, 2]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"reward": None}, "lacks reward; must have obs, action, reward, next_obs, terminated"),
        ({"obs": np.zeros((7, 3))}, r"obs has rows of 3 numbers; this env needs \(1,\)$"),
        ({"obs": pa.array([["a"]] * 7)}, "obs has the type list<.*: string>; must be numbers, or lists of"),
        ({"terminated": np.zeros(7)}, "terminated has the dtype float64, which cannot be converted to bool"),
        ({"action": pa.array([None] * 7, pa.list_(pa.float64()))}, "action has rows of 0 numbers"),
        ({"reward": pa.array([None] * 7, pa.float64())}, "reward has missing values"),
        ({"obs": pa.array([{"x": 0.0}] * 7)}, "obs has the type struct<x: double>; must be"),
    ],
)
def test_other_columns_of_parquet_files_are_refused(
    tmp_path: Path, changed: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError, match=rf"replay\.data=.*prior\.parquet: {line}"):
        MixedReplay(data=[parquet(tmp_path, **changed)]).follow_env(None, OBS, BOX)


@pytest.mark.parametrize(
    ("obs", "line"),
    [
        ([[0.0]] * 6 + [[0.0, 1.0]], "has lists of different lengths"),
        ([[0.0]] * 6 + [None], "has lists of different lengths"),
        ([[0.0]] * 6 + [[None]], "has missing values"),
    ],
)
def test_damaged_rows_of_parquet_files_are_told(tmp_path: Path, obs: list[Any], line: str) -> None:
    with pytest.raises(DamagedFile, match=rf"prior\.parquet: cannot be read \(obs {line}\)"):
        mixed(parquet(tmp_path, obs=pa.array(obs)))


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prior.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ConfigError, match=r"prior\.parquet: cannot be read as a \.parquet file \("):
        MixedReplay(data=[str(tmp_path / "prior.parquet")])
    twice = pa.table([pa.array([0.0])] * 6, ["obs", "obs", "action", "reward", "next_obs", "terminated"])
    pa.parquet.write_table(twice, tmp_path / "prior.parquet")
    with pytest.raises(ConfigError, match=r"prior\.parquet: must have each column once, and has obs twice"):
        MixedReplay(data=[str(tmp_path / "prior.parquet")])
    with pytest.raises(ConfigError, match=r"other\.parquet: must name the folder of a run"):
        MixedReplay(data=[str(tmp_path / "other.parquet")])
