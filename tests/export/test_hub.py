"""`format=hub` and `run=hf:USER/NAME`: a policy on the Hugging Face Hub, here a stand-in on this machine."""

import csv
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tests.cli.conftest import Command, Server, everything, mistake
from tests.export.hub_stand_in import Hub, Repo

from sac_lightning import SACModule
from sac_lightning.core.errors import install
from sac_lightning.export import run_onnx

ALL = {"README.md", "config.yaml", "policy.ckpt", "policy.onnx", "metrics.csv", "plots/learning_curve.png"}


@pytest.fixture
def run(run_of: Callable[[str], Path]) -> Path:
    """A finished run, only read."""
    return run_of("tanh_normal")


@pytest.fixture
def evaluate(tmp_path: Path, server: Server) -> Command:
    """The evaluation command."""
    return lambda *arguments, **options: server.call("evaluate", tmp_path, arguments, **options)


def test_pushed_policy_is_pulled_and_acts_the_same(
    run: Path, hub: Hub, export: Command, evaluate: Command, tmp_path: Path
) -> None:
    ended = export(f"run={run}", "format=hub", "repo=user/swing-up", "private=true")
    assert ended.code == 0, ended.err
    repo = hub.repos["user/swing-up"]
    assert repo.private and repo.files.keys() == ALL
    assert f"/user/swing-up/commit/{repo.sha}" in ended.out
    assert str(run) not in repo.files["README.md"].decode() + repo.files["config.yaml"].decode()

    ended = evaluate("run=hf:user/swing-up", "episodes=2", "envs=1")
    assert ended.code == 0, ended.err
    place = tmp_path / "runs" / "hf" / "user" / "swing-up" / "eval.json"
    pulled = json.loads(place.read_text())
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [place]
    assert evaluate(f"run={run}", "episodes=2", "envs=1").code == 0
    assert pulled["returns"] == json.loads((run / "eval.json").read_text())["returns"]

    original = SACModule.load_from_checkpoint(run / "checkpoints" / "best.ckpt")
    copy = SACModule.load_from_checkpoint(pulled["checkpoint"])
    obs = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    actions = original.act(obs, deterministic=True)
    assert np.array_equal(copy.act(obs, deterministic=True), actions)
    assert run_onnx(repo.files["policy.onnx"])(obs) == pytest.approx(actions, abs=1e-5)
    assert int(copy.env_steps) == int(original.env_steps)

    ended = export(f"run={run}", "format=hub", "repo=user/swing-up", hides=["onnx"])
    assert ended.code == 0, ended.err
    assert repo.files.keys() == ALL - {"policy.onnx"}  # an older one beside the new policy would be wrong
    assert evaluate("run=hf:user/swing-up", "episodes=1", "envs=1").code == 0
    with hub.down():  # from the cache
        assert evaluate("run=hf:user/swing-up", "episodes=1", "envs=1").code == 0
        ended = export("run=hf:user/swing-up", "format=torch")
    assert ended.code == 0, ended.err
    assert (tmp_path / "runs/hf/user/swing-up/export/policy.pt2").is_file()


def test_card_says_return_settings_and_command_as_the_hub_reads_them(
    run: Path, export: Command, tmp_path: Path
) -> None:
    (run / "eval.json").unlink(missing_ok=True)
    ended = export(f"run={run}", "format=hub", "out=folder", "checkpoint=last", hides=["onnx"])
    assert ended.code == 0, ended.err
    assert everything(tmp_path / "folder") == (ALL | {"plots"}) - {"policy.onnx"}
    _, header, text = (tmp_path / "folder" / "README.md").read_text().split("---\n", 2)
    (result,) = yaml.safe_load(header)["model-index"][0]["results"]
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    mean = next(float(row["eval/return_mean"]) for row in reversed(rows) if row["eval/return_mean"])
    assert result["dataset"]["name"] == "Pendulum-v1"
    assert result["metrics"][0]["value"].startswith(f"{mean:.2f} +/- ")
    shared = list(csv.DictReader((tmp_path / "folder" / "metrics.csv").open()))
    assert shared == [row for row in rows if row["eval/return_mean"]]
    assert 0 < len(shared) < len(rows)
    for said in (f"Return: {mean:.2f} ±", "| `batch_size` |", "python train.py debug=fast", "| `torch` |"):
        assert said in text
    assert "hydra.run.dir" not in text
    content = torch.load(tmp_path / "folder" / "policy.ckpt", weights_only=True)
    assert not [key for key in content["state_dict"] if "critic" in key]
    assert {"optimizer_states", "ReplayDataModule"}.isdisjoint(content)
    resumed = shutil.copytree(run, tmp_path / "resumed")
    summary = json.loads((run / "summary.json").read_text())
    (resumed / "summary.json").write_text(json.dumps({**summary, "overrides": ["resume='/home/me/run'"]}))
    assert export(f"run={resumed}", "format=hub", "out=folder", "checkpoint=last", hides=["onnx"]).code == 0
    assert "/home/me" not in (tmp_path / "folder" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("format=hub",), "repo=None: must be USER/NAME on the Hub, or null with out=FOLDER"),
        (("format=hub", "repo=pendulum"), "repo=pendulum: must be USER/NAME"),
        (("format=hub", "repo=user/x", "private=maybe"), "private=maybe: must be"),
        (("format=torch", "repo=user/x"), "repo=user/x: is for format=hub"),
        (("format=hub", "out=others"), "out=others: contains other files than those of a policy"),
        (("format=hub", "repo=somebody/x"), "repo=somebody/x: the Hub refuses this (status 403): log in"),
        (
            ("format=hub", "repo=user/public", "private=true"),
            "private=True: user/public exists and is public: make it",
        ),
    ],
)
def test_push_that_cannot_be_is_told_in_one_line(
    arguments: tuple[str, ...], says: str, run: Path, hub: Hub, export: Command, tmp_path: Path
) -> None:
    hub.repos["user/public"] = Repo(False, {"README.md": b"something else"})
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "README.md").touch()
    before = everything(tmp_path)
    assert mistake(export(f"run={run}", *arguments, hides=["onnx"])).startswith(says)
    assert everything(tmp_path) == before
    assert hub.repos["user/public"].files == {"README.md": b"something else"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hf:pendulum", "must be USER/NAME, in letters"),
        ("hf:../../x", "must be USER/NAME, in letters"),
        ("hf:user/none", "there is no such repository, or it is private: log in with `hf auth login`"),
        ("hf:user/bert", "is no run: it has no config.yaml"),
    ],
)
def test_name_without_a_policy_is_told_in_one_line(
    name: str, says: str, hub: Hub, evaluate: Command, tmp_path: Path
) -> None:
    hub.repos["user/bert"] = Repo(False, {"README.md": b"# BERT", "pytorch_model.bin": b"0"})
    assert mistake(evaluate(f"run={name}")).startswith(f"run={name}: {says}")
    assert everything(tmp_path) == set()


def test_hub_that_is_away_or_not_installed_is_told_in_one_line(
    run: Path, hub: Hub, export: Command, evaluate: Command
) -> None:
    with hub.down():
        line = mistake(evaluate("run=hf:user/nowhere"))
        assert line.startswith("run=hf:user/nowhere: the Hub cannot be reached"), line
        line = mistake(export(f"run={run}", "format=hub", "repo=user/nowhere", hides=["onnx"]))
        assert line.startswith("repo=user/nowhere: the Hub cannot be reached"), line
    needs = f"needs huggingface_hub, which is not installed: {install('hub')}"
    hides = ["huggingface_hub"]
    assert mistake(evaluate("run=hf:user/x", hides=hides)) == f"run=hf:user/x: {needs}"
    assert mistake(export(f"run={run}", "format=hub", "repo=user/x", hides=hides)) == f"format=hub: {needs}"


def test_what_a_repository_names_is_not_run(run: Path, hub: Hub, evaluate: Command, tmp_path: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    planted = {**config, "env": {**config["env"], "imports": ["planted"], "allowed_prefixes": ["planted"]}}

    class Program:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "ran"),)

    harmless, harmful = (yaml.safe_dump(each).encode() for each in (config, planted))
    hub.repos["user/import"] = Repo(False, {"config.yaml": harmful, "policy.ckpt": b""})
    hub.repos["user/pickle"] = Repo(
        False, {"config.yaml": harmless, "policy.ckpt": pickle.dumps(Program(), protocol=2)}
    )
    assert "planted" in mistake(evaluate("run=hf:user/import"))
    assert "is damaged, or holds more than data" in mistake(evaluate("run=hf:user/pickle"))
    assert everything(tmp_path) == set()
