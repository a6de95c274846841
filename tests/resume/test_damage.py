"""A run whose files are damaged says so in one line, and stays as it is."""

import io
import json
import random
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import Server, error_line, everything, summary

from sac_lightning.core.checkpoint import journal_manifests, read_checkpoint
from sac_lightning.core.files import DamagedFile


class Program:
    """What a pickle may call while it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("/tmp/sac_lightning_was_here"),)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_in_a_program(path: Path) -> None:
    torch.save({**read_checkpoint(path), "extra": Program()}, path)


def write_format(path: Path, number: int) -> None:
    content = read_checkpoint(path)
    content["sac_lightning"]["format"] = number
    torch.save(content, path)


def make_newer(path: Path) -> None:
    write_format(path, 99)


def make_older(path: Path) -> None:
    write_format(path, 2)


def make_newer_segment(path: Path) -> None:
    write_version(path, b"9")


def make_older_segment(path: Path) -> None:
    write_version(path, b"2")


def write_version(path: Path, number: bytes) -> None:
    before = path.read_bytes()
    after = before.replace(b'"version":"4"', b'"version":"' + number + b'"')
    assert after != before
    path.write_bytes(after)


def needed_by(run: Path, checkpoint: str) -> set[str]:
    content = read_checkpoint(run / "checkpoints" / f"{checkpoint}.ckpt")
    return {segment["file"] for segment in journal_manifests(content)[0]}


def the_way_out(line: str) -> list[str]:
    """The arguments of the command that the line ends with."""
    return shlex.split(line.partition("resume from an older one: python train.py ")[2])


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (flip, "the checkpoint is damaged"),
        (truncate, "the checkpoint is damaged"),
        (empty, "the checkpoint is empty"),
        (put_in_a_program, "it holds a pickled program"),
        (make_newer, "was written in format 99 by a newer sac_lightning; this one reads format 4"),
        (make_older, "was written in format 2 by an earlier sac_lightning; this one reads format 4"),
    ],
)
def test_a_damaged_checkpoint_is_named_with_the_way_out(
    run: Path, server: Server, damage: Callable[[Path], None], what: str
) -> None:
    last = run / "checkpoints" / "last.ckpt"
    damage(last)
    before = everything(run)
    line = error_line(server.train(f"resume={run}", "total_env_steps=200", cwd=run.parent))
    assert line.startswith(f"{last}: {what}")
    assert everything(run) == before
    assert not Path("/tmp/sac_lightning_was_here").exists()

    ended = server.train(*the_way_out(line), "total_env_steps=200", cwd=run.parent)
    assert ended.code == 0, ended.err
    assert (summary(run)["status"], summary(run)["env_steps"]) == ("done", 200)
    assert server.train(f"resume={run}", "total_env_steps=220", cwd=run.parent).code == 0


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (flip, "its content has changed since it was written (checksum)"),
        (truncate, "truncated or overwritten"),
        (empty, "is 0 bytes long, not "),
        (Path.unlink, "is missing, and the checkpoint needs it"),
        (make_newer_segment, "has format 9; this version of sac_lightning reads format 4"),
        (make_older_segment, "has format 2; this version of sac_lightning reads format 4"),
    ],
)
def test_a_damaged_segment_is_named_with_the_way_out(
    run: Path, server: Server, damage: Callable[[Path], None], what: str
) -> None:
    (name, *_) = sorted(needed_by(run, "last") - needed_by(run, "best"))
    damage(run / "replay" / name)
    before = everything(run)
    line = error_line(server.train(f"resume={run}", "total_env_steps=200", cwd=run.parent))
    assert line.startswith(f"{run / 'replay' / name}: ")
    assert what in line
    assert everything(run) == before

    ended = server.train(*the_way_out(line), "total_env_steps=200", cwd=run.parent)
    assert ended.code == 0, ended.err
    assert summary(run)["env_steps"] == 200


def test_no_way_out_is_named_where_there_is_none(run: Path, server: Server) -> None:
    for name in ("best", "last"):
        flip(run / "checkpoints" / f"{name}.ckpt")
    line = error_line(server.train(f"resume={run}", "total_env_steps=200", cwd=run.parent))
    assert "last.ckpt" in line
    assert "older" not in line


def test_a_best_checkpoint_whose_transitions_are_gone_is_no_way_out(run: Path, server: Server) -> None:
    (run / "replay" / min(needed_by(run, "best"))).unlink()
    flip(run / "checkpoints" / "last.ckpt")
    assert "older" not in error_line(server.train(f"resume={run}", "total_env_steps=200", cwd=run.parent))


def test_a_damaged_best_checkpoint_does_not_end_a_run(run: Path, server: Server) -> None:
    flip(run / "checkpoints" / "best.ckpt")
    ended = server.train(f"resume={run}", "total_env_steps=280", cwd=run.parent)
    assert ended.code == 0, ended.err
    assert "the replay journal is not pruned" in ended.err or summary(run)["best_return_mean"] > 0


def test_every_flipped_byte_of_a_checkpoint_is_seen_or_changes_nothing(run: Path, tmp_path: Path) -> None:
    path = run / "checkpoints" / "last.ckpt"
    whole, rng = path.read_bytes(), random.Random(0)
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    seen = 0
    for _ in range(300):
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            read_checkpoint(path)
        except DamagedFile:
            seen += 1
            continue
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # it hit what lies between the records
            assert {info.filename: archive.read(info) for info in archive.infolist()} == records
    assert seen > 150


def test_what_is_no_checkpoint_is_not_one(run: Path, server: Server) -> None:
    path = run / "checkpoints" / "last.ckpt"
    for content in ({"weights": torch.zeros(3)}, [1, 2], {"state_dict": {}, "loops": {}, "sac_lightning": 3}):
        torch.save(content, path)
        line = error_line(server.train(f"resume={run}", "total_env_steps=200", cwd=run.parent))
        assert line.startswith(f"{path}: is no checkpoint of a training run")
    path.write_text(json.dumps({"state_dict": 1}))
    assert "the checkpoint is damaged" in error_line(server.train(f"resume={run}", cwd=run.parent))
