"""A damaged journal is reported in one line that names the file; damage never gets into the buffer unseen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sac_lightning.core.files import DamagedFile
from sac_lightning.replay.buffer import ReplayBuffer
from sac_lightning.replay.disk.journal import Journal, Manifest
from sac_lightning.spaces import ActionSpec, BoxAction, DiscreteAction, ObsSpec

OBS, ACTION = ObsSpec((3,), "float32"), BoxAction((-1.0,), (1.0,), (1,))


def journal_of_three(directory: Path) -> Manifest:
    """Three segments of 10 transitions."""
    rng = np.random.default_rng(0)
    replay, journal = ReplayBuffer.of(100, OBS, ACTION, seed=0), Journal(directory)
    for _ in range(3):
        obs = rng.normal(size=(10, 3))
        replay.add(obs, rng.normal(size=(10, 1)), rng.normal(size=10), obs, rng.random(10) < 0.5)
        manifest = journal.save(replay)
    return manifest


def load(
    directory: Path,
    manifest: Manifest,
    added: int = 30,
    obs: ObsSpec = OBS,
    action: ActionSpec = ACTION,
    capacity: int = 100,
) -> None:
    Journal(directory).load(ReplayBuffer.of(capacity, obs, action, seed=0), manifest, added)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def newer(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"version":"4"', b'"version":"5"'))


def older(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"version":"4"', b'"version":"3"'))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "is missing"),
        (cut, "truncated"),
        (lengthen, "truncated or overwritten"),
        (empty, "is 0 bytes long, not [0-9]+: truncated or overwritten"),
        (newer, "has format 5; this version of sac_lightning reads format 4"),
        (older, "has format 3; this version of sac_lightning reads format 4"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    manifest = journal_of_three(tmp_path)
    path = tmp_path / manifest[1]["file"]
    damage(path)
    with pytest.raises(DamagedFile, match=message) as error:
        load(tmp_path, manifest)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_every_flipped_byte_is_seen(tmp_path: Path) -> None:
    manifest = journal_of_three(tmp_path)
    path = tmp_path / manifest[2]["file"]
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 0x01
        path.write_bytes(flipped)
        with pytest.raises(DamagedFile):
            load(tmp_path, manifest)
    path.write_bytes(whole)
    load(tmp_path, manifest)


def test_swapped_files_are_seen(tmp_path: Path) -> None:
    manifest = journal_of_three(tmp_path)
    first, second = (tmp_path / manifest[i]["file"] for i in (0, 1))
    second.write_bytes(first.read_bytes())
    with pytest.raises(DamagedFile, match="another file has taken its name"):
        load(tmp_path, manifest)


@pytest.mark.parametrize(
    ("obs", "action", "message"),
    [
        (ObsSpec((4,), "float32"), ACTION, r"obs rows of F32 \[3\]; this env's are F32 \[4\]"),
        (ObsSpec((3,), "uint8"), ACTION, r"obs rows of F32 \[3\]; this env's are U8 \[3\]"),
        (OBS, DiscreteAction(2), r"action rows of F32 \[1\]; this env's are I64 \[\]"),
    ],
)
def test_another_env_is_named(tmp_path: Path, obs: ObsSpec, action: ActionSpec, message: str) -> None:
    manifest = journal_of_three(tmp_path)
    with pytest.raises(DamagedFile, match=message):
        load(tmp_path, manifest, obs=obs, action=action)


def test_a_gap_in_the_manifest_is_named(tmp_path: Path) -> None:
    first, _, third = journal_of_three(tmp_path)
    with pytest.raises(DamagedFile, match="transitions 10 to 19 are in no segment"):
        load(tmp_path, [first, third])


def test_a_manifest_that_ends_elsewhere_is_named(tmp_path: Path) -> None:
    manifest = journal_of_three(tmp_path)
    with pytest.raises(DamagedFile, match="ends at transition 30, the checkpoint at 31"):
        load(tmp_path, manifest, added=31)


def test_a_manifest_cannot_lead_out_of_the_directory(tmp_path: Path) -> None:
    manifest = journal_of_three(tmp_path / "replay")
    outside = tmp_path / manifest[0]["file"]
    (tmp_path / "replay" / manifest[0]["file"]).rename(outside)
    manifest[0]["file"] = f"../{outside.name}"
    with pytest.raises(DamagedFile, match="is not the name of a segment"):
        load(tmp_path / "replay", manifest)


def test_segments_of_overwritten_rows_need_not_exist(tmp_path: Path) -> None:
    manifest = journal_of_three(tmp_path)
    (tmp_path / manifest[0]["file"]).unlink()
    load(tmp_path, manifest, capacity=20)


def test_prune_leaves_files_of_others_alone(tmp_path: Path) -> None:
    manifest = journal_of_three(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    stray = tmp_path / f".{manifest[0]['file']}.tmp"
    stray.write_text("half")
    Journal(tmp_path).prune([manifest[:1]])
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", manifest[0]["file"]}


def test_prune_before_the_first_save_is_harmless(tmp_path: Path) -> None:
    Journal(tmp_path / "replay").prune([])
