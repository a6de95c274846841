"""A run folder from anybody: what is planted in it runs nothing, writes nowhere else and ends in one line."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.cli.conftest import Command, Server, mistake

from sac_lightning.core.checkpoint import FORMAT
from sac_lightning.training.callbacks import AtomicCheckpointIO


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to spoil."""
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy, ignore=shutil.ignore_patterns("wandb"))
    return copy


@pytest.fixture
def export(tmp_path: Path, server: Server) -> Command:
    """The export command."""
    return lambda *arguments, **options: server.call("export", tmp_path, arguments, **options)


def plant(run: Path, key: str, value: Any) -> None:
    """Put `value` at the dotted `key` of the run's config.yaml."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    node = config
    *parents, last = key.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): path.read_bytes() for path in files}


TOUCH = "open('executed', 'w').close()"
PROGRAMS = {
    "shell": ("callbacks.x", {"_target_": "torch.utils.collect_env.run", "command": "touch executed"}),
    "hub": (
        "callbacks.x",
        {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "x", "source": "local"},
    ),
    "load": ("logger.x", {"_target_": "torch.load", "f": "x", "weights_only": False}),
    "exec": (
        "callbacks.x",
        {"_target_": "torch.fx.graph_module._exec_with_source", "src": TOUCH, "globals": {}},
    ),
    "imports of a module": ("callbacks.x", {"_target_": "torch.hub.os.system", "command": "touch executed"}),
    "in an argument": (
        "callbacks.plots.title",
        {"_target_": "torch.utils.collect_env.run", "command": "touch executed"},
    ),
    "in the env's": (
        "env.kwargs.g",
        {"_target_": "torch.utils.collect_env.run", "command": "touch executed"},
    ),
    "in a list": (
        "tags",
        [{"_target_": "torch.utils.collect_env.run", "command": "touch executed"}],
    ),
    "another kind": ("alpha", {"_target_": "sac_lightning.training.callbacks.PlotCallback", "dir": "x"}),
    "another kind of part": (
        "actor.torso",
        {"_target_": "sac_lightning.training.callbacks.PlotCallback", "dir": "x"},
    ),
    "part of a part": ("replay.x", {"_target_": "sac_lightning.training.callbacks.PlotCallback", "dir": "x"}),
    "foreign class": ("callbacks.x", {"_target_": "witness.Threads", "file": "executed"}),
    "allowed by itself": ("callbacks.x", {"_target_": "faulty_envs.Marker"}),
    "a server": (
        "logger.x",
        {"_target_": "pytorch_lightning.loggers.MLFlowLogger", "tracking_uri": "http://x"},
    ),
    "positions": (
        "callbacks.x",
        {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "_args_": ["x"]},
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_resume_runs_no_program_of_the_file(name: str, run: Path, train: Command, tmp_path: Path) -> None:
    key, value = PROGRAMS[name]
    plant(run, key, value)
    plant(run, "allowed_prefixes", ["faulty_envs", "witness", "torch", "pytorch_lightning"])
    before = contents(tmp_path)
    line = mistake(train(f"resume={run}", "total_env_steps=500", makes_envs=False))
    assert line.startswith((f"{key}._", f"{key}[0]._target_="))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("key", ["env.allowed_prefixes", "allowed_prefixes"])
def test_resume_imports_nothing_that_this_command_line_does_not_allow(
    key: str, run: Path, train: Command, tmp_path: Path
) -> None:
    plant(run, "env.imports", ["faulty_envs"])
    plant(run, key, ["faulty_envs"])
    line = mistake(train(f"resume={run}", "total_env_steps=401", makes_envs=False))
    assert line.startswith("env.imports=faulty_envs: only gymnasium, sac_lightning may be imported")
    allowed = train(f"resume={run}", "total_env_steps=401", f"{key}=[faulty_envs]", "callbacks.plots=null")
    assert allowed.code == 0, allowed.err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("env.id", "faulty_envs:Steady-v0"),
        ("env.imports", [5]),
        ("env.wrappers", [{"name": "witness.Threads"}]),
    ],
)
def test_file_imports_nothing_by_its_env(
    key: str, value: Any, run: Path, train: Command, evaluate: Command
) -> None:
    plant(run, key, value)
    plant(run, "env.allowed_prefixes", ["faulty_envs", "witness"])
    assert mistake(train(f"resume={run}", "total_env_steps=500", makes_envs=False)).startswith(f"{key}=")
    assert mistake(evaluate(f"run={run}", makes_envs=False)).startswith(f"{key}=")


def test_own_callback_goes_on_where_the_command_line_allows_it(run: Path, train: Command) -> None:
    plant(run, "callbacks.x", {"_target_": "witness.Threads", "file": str(run / "threads")})
    assert "allowed_prefixes=[witness]" in mistake(train(f"resume={run}", "total_env_steps=401"))
    ended = train(f"resume={run}", "total_env_steps=401", "allowed_prefixes=[witness]")
    assert ended.code == 0, ended.err
    assert (run / "threads").exists()


ELSEWHERE = {
    "callbacks.best.dirpath": "{out}",
    "callbacks.last.dirpath": "${{paths.run_dir}}/../out",
    "callbacks.plots.dir": "out",
    "logger.csv.path": "{out}/metrics.csv",
    "logger.x": {"_target_": "pytorch_lightning.loggers.TensorBoardLogger", "save_dir": "{out}"},
    "logger.y": {
        "_target_": "pytorch_lightning.loggers.CSVLogger",
        "save_dir": "${{paths.run_dir}}",
        "name": "../out",
    },
    "trainer.default_root_dir": "{out}",
    "callbacks.z": {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "dirpath": "file://{out}"},
    "callbacks.t": {
        "_target_": "sac_lightning.training.callbacks.TrialPruner",
        "journal": "{out}/j",
        "trial": 0,
    },
    "env.wrappers": [{"name": "RecordVideo", "video_folder": "{out}"}],
}


def _filled(value: Any, out: Path) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, out) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, out) for item in value]
    return value.format(out=out) if isinstance(value, str) else value


@pytest.mark.parametrize("key", ELSEWHERE)
def test_nothing_is_written_where_the_file_says(key: str, run: Path, train: Command, tmp_path: Path) -> None:
    plant(run, key, _filled(ELSEWHERE[key], tmp_path / "out"))
    before = contents(tmp_path)
    line = mistake(train(f"resume={run}", "total_env_steps=500", makes_envs=False))
    assert line.startswith(key)
    assert "leads out of" in line
    assert contents(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_command_line_may_name_a_place_for_a_resumed_run(run: Path, train: Command, tmp_path: Path) -> None:
    plant(run, "callbacks.plots.dir", str(tmp_path / "out"))
    ended = train(f"resume={run}", "total_env_steps=401", f"callbacks.plots.dir={tmp_path}/out")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out" / "learning_curve.png").exists()


def test_evaluation_records_no_video_elsewhere(run: Path, evaluate: Command, tmp_path: Path) -> None:
    plant(run, "env.wrappers", [{"name": "RecordVideo", "video_folder": str(tmp_path / "out")}])
    assert mistake(evaluate(f"run={run}")).startswith("env.wrappers[0].video_folder=")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "${oc.decode:'[1]'}", "${seed}", "a ${now:%Y} b"])
def test_file_has_no_variables(value: str, run: Path, train: Command, evaluate: Command) -> None:
    plant(run, "task_name", value)
    for line in (mistake(train(f"resume={run}", "total_env_steps=500")), mistake(evaluate(f"run={run}"))):
        assert line.startswith(f"{run}/config.yaml: task_name={value}: ")


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
DAMAGE: dict[str, Callable[[str], str]] = {
    "alias bomb": lambda text: text + BOMB,
    "merged mapping": lambda text: text + "one: &one {a: 1}\ntwo: {<<: *one}\n",
    "levels": lambda text: text + "deep: " + "[" * 3000 + "]" * 3000,
    "large": lambda text: text + "long: [" + "x, " * 500_000 + "]",
    "object": lambda text: text + "evil: !!python/object/apply:os.system ['touch executed']\n",
    "large number": lambda text: text + "number: " + "9" * 10_000,
    "list": lambda text: "[1, 2]",
    "text": lambda text: "just a text",
    "no yaml": lambda text: text + "{{{",
    "binary": lambda text: text + "\x00",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_config_that_cannot_be_meant_ends_in_one_line_at_once(
    kind: str, run: Path, train: Command, evaluate: Command, export: Command, server: Server, tmp_path: Path
) -> None:
    file = run / "config.yaml"
    file.write_text(DAMAGE[kind](file.read_text()))
    began = time.monotonic()
    for command, arguments in (
        (train, (f"resume={run}", "total_env_steps=500")),
        (evaluate, (f"run={run}",)),
        (export, (f"run={run}", "format=minari")),
    ):
        assert str(file) in mistake(command(*arguments))
    reported = server.call("report", tmp_path, (f"runs={run}",))
    assert reported.code == 0, reported.err
    assert "config.yaml is damaged" in (run / "report.md").read_text()
    assert time.monotonic() - began < 20
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "name", ["train.log", "metrics.csv", ".config.yaml.tmp", "checkpoints/.last.ckpt.tmp"]
)
def test_link_in_a_run_folder_is_followed_by_no_command(
    name: str, run: Path, train: Command, evaluate: Command, export: Command, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(victim)
    for command, arguments in (
        (train, (f"resume={run}", "total_env_steps=500")),
        (evaluate, (f"run={run}", "episodes=1")),
        (export, (f"run={run}", "format=torch")),
    ):
        assert mistake(command(*arguments)).startswith(f"{run}/{name}: is a link: ")
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("name", ["checkpoints", "replay", "export", "videos", "plots"])
def test_linked_subfolder_is_followed_by_no_command(
    name: str, run: Path, train: Command, evaluate: Command, tmp_path: Path
) -> None:
    if (run / name).exists():
        (run / name).rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "elsewhere").mkdir()
    (run / name).symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path)
    assert mistake(train(f"resume={run}", "total_env_steps=500")).startswith(f"{run}/{name}: is a link: ")
    assert mistake(evaluate(f"run={run}")).startswith(f"{run}/{name}: is a link: ")
    assert contents(tmp_path) == before


def test_pipe_in_place_of_the_log_keeps_nobody_waiting(run: Path, train: Command) -> None:
    (run / "train.log").unlink()
    os.mkfifo(run / "train.log")
    assert mistake(train(f"resume={run}", "total_env_steps=500")).startswith(
        f"{run}/train.log: is no plain file: "
    )


@pytest.mark.parametrize(
    "path", ["{run}/..", "{run}/../victim/last.ckpt", "local://{victim}/last.ckpt", "{victim}"]
)
def test_checkpoint_decides_no_deletion_beside_its_folder(path: str, tmp_path: Path) -> None:
    run, victim = tmp_path / "run", tmp_path / "victim"
    run.mkdir()
    victim.mkdir()
    (victim / "last.ckpt").touch()
    AtomicCheckpointIO().remove_checkpoint(path.format(run=run, victim=victim))
    assert (victim / "last.ckpt").exists()
    assert run.is_dir()
    (run / "old.ckpt").touch()
    AtomicCheckpointIO().remove_checkpoint(run / "old.ckpt")
    assert not (run / "old.ckpt").exists()


@pytest.mark.parametrize(
    "changed", [{"loops": {}}, {"loops": 5}, {"sac_lightning": {"format": FORMAT}, "state_dict": {}}]
)
def test_checkpoint_of_something_else_is_told(changed: dict[str, Any], run: Path, train: Command) -> None:
    file = run / "checkpoints" / "last.ckpt"
    torch.save({**torch.load(file, weights_only=True), **changed}, file)
    line = mistake(train(f"resume={run}", "total_env_steps=500"))
    assert line.startswith(f"{file}: is no checkpoint of a training run")


@pytest.mark.parametrize(("written", "which"), [(2, "an earlier"), (FORMAT + 1, "a newer")])
def test_checkpoint_of_another_format_is_refused(
    written: int, which: str, run: Path, train: Command, evaluate: Command
) -> None:
    file = run / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    torch.save({**content, "sac_lightning": {**content["sac_lightning"], "format": written}}, file)
    reason = f"was written in format {written} by {which} sac_lightning; this one reads format {FORMAT}"
    for ended in (train(f"resume={run}", "total_env_steps=500"), evaluate(f"run={run}", "checkpoint=last")):
        assert f"{file}: {reason}" in mistake(ended)


def test_names_cannot_command_the_terminal(evaluate: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(json.dumps({"env": {"id": "\x1b]0;mine\x07"}, "x": 1}))
    line = mistake(evaluate("run=run"))
    assert "\x1b" not in line
    assert "\x07" not in line


def test_folder_of_a_job_lies_within_its_sweep(train: Command, tmp_path: Path) -> None:
    line = mistake(train("-m", "seed=0,1", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=../${seed}"))
    assert line.startswith("hydra.sweep.subdir=../0: must name a folder within the sweep's")
    assert not (tmp_path / "0").exists()


def test_run_in_a_folder_with_brackets_in_its_name_is_shown(run: Path, evaluate: Command) -> None:
    (run.parent / "[").mkdir()
    renamed = run.rename(run.parent / "[" / "red]")  # the path holds [/red], which ends a colour
    ended = evaluate(f"run='{renamed}'", "episodes=1")
    assert ended.code == 0, ended.err
