"""Mistakes are reported in one line, and nothing is written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Command, everything, mistake

from sac_lightning.core.errors import install


@pytest.fixture
def run(run_of: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a finished run, to spoil."""
    copy = tmp_path / "run"
    shutil.copytree(run_of("tanh_normal"), copy, ignore=shutil.ignore_patterns("minari", "export"))
    return copy


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        ((), "format=???: must be given"),
        (("format=tflite",), "format=tflite: must be one of torch, onnx, minari"),
        (("format=torch", "checkpoint=none.ckpt"), "checkpoint=none.ckpt: there is no none.ckpt"),
        (("format=torch", "out=run"), "out=run: is a folder: name a file"),
        (("format=torch", "out=run/config.yaml/x.pt2"), "out=run/config.yaml/x.pt2: cannot be written: "),
        (("format=minari", "out=run/config.yaml"), "out=run/config.yaml: is a file: name a folder"),
        (("format=minari", "dataset=a/b"), "dataset=a/b: must be letters, digits, - and _, and end in"),
        (("format=torch", "-m"), "-m: exports one run at a time"),
        (("formt=torch",), "Could not override 'formt'"),
    ],
)
def test_mistake_is_told_in_one_line(
    arguments: tuple[str, ...], begins: str, run: Path, export: Command, tmp_path: Path
) -> None:
    before = everything(tmp_path)
    assert mistake(export(f"run={run}", *arguments)).startswith(begins)
    assert everything(tmp_path) == before


def test_folder_that_is_no_run_is_told(export: Command, tmp_path: Path) -> None:
    assert mistake(export("format=torch")) == "run=???: must be given"
    line = mistake(export("format=torch", "run=nowhere"))
    assert line.startswith("run=nowhere: is no run: there is no such")


@pytest.mark.parametrize(
    ("kind", "package"),
    [
        ("onnx", "onnx"),
        ("onnx", "onnxscript"),
        ("onnx", "onnxruntime"),
        ("minari", "minari"),
        ("minari", "h5py"),
    ],
)
def test_missing_package_says_how_to_install_it(
    kind: str, package: str, run: Path, export: Command, tmp_path: Path
) -> None:
    before = everything(tmp_path)
    line = mistake(export(f"run={run}", f"format={kind}", hides=[package]))
    advice = f"which is not installed: {install('export')}"
    assert line == f"format={kind}: needs {package}, {advice}"
    assert everything(tmp_path) == before


@pytest.mark.parametrize("kind", ["torch", "minari"])
def test_damaged_checkpoint_is_a_mistake(kind: str, run: Path, export: Command) -> None:
    file = run / "checkpoints" / "last.ckpt"
    file.write_bytes(file.read_bytes()[:-2000])
    line = mistake(export(f"run={run}", f"format={kind}", "checkpoint=last"))
    assert line.startswith(f"checkpoint=last ({file}): is damaged")


@pytest.mark.parametrize("how", ["flipped", "missing", "short"])
def test_damaged_segment_is_named(how: str, run: Path, export: Command, tmp_path: Path) -> None:
    segment = max((run / "replay").iterdir())
    content = bytearray(segment.read_bytes())
    if how == "missing":
        segment.unlink()
    elif how == "short":
        segment.write_bytes(content[:-3])
    else:
        content[-3] ^= 1
        segment.write_bytes(content)
    before = everything(tmp_path)
    line = mistake(export(f"run={run}", "format=minari", "checkpoint=last"))
    assert line.startswith(f"{segment}: ")
    assert everything(tmp_path) == before


def test_run_without_a_journal_has_no_replay(run: Path, export: Command) -> None:
    import torch

    file = run / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    content["ReplayDataModule"]["journal"] = None
    torch.save(content, file)
    line = mistake(export(f"run={run}", "format=minari", "checkpoint=last"))
    assert line == f"{file}: refers to no replay journal: there is nothing to export"
