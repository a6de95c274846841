"""A package from the outside: its env, wrapper, head, temperature rule and configs, installed and trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tests.cli.conftest import ROOT, TINY
from tests.cli.sweeps import summary

EXAMPLE = ROOT / "examples" / "thermostat"
CONF = ("--config-dir", str(EXAMPLE / "conf"))


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory, process_env: dict[str, str]) -> dict[str, str]:
    """The environment of a process that finds the installed example."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    line = [*pip, "--no-build-isolation", "--target", str(site), str(EXAMPLE)]
    subprocess.run(line, check=True, capture_output=True, timeout=120)
    return {**process_env, "PYTHONPATH": f"{site}{os.pathsep}{process_env['PYTHONPATH']}"}


def run(script: str, *arguments: str, cwd: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, str(ROOT / script), *arguments]
    return subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def test_example_is_trained_and_evaluated_from_the_outside(env: dict[str, str], tmp_path: Path) -> None:
    steps = ("alpha.every=20", "hydra.run.dir=run")
    ended = run("train.py", *CONF, "experiment=thermostat", *TINY, *steps, cwd=tmp_path, env=env)
    assert ended.returncode == 0, ended.stderr
    seen = summary(tmp_path / "run")
    assert (seen["status"], seen["env_id"], seen["env_steps"]) == ("done", "Thermostat-v0", 60)
    assert seen["resume"] == "exact"
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    described = content["hyper_parameters"]
    assert (described["head"]["kind"], described["temperature"]["kind"]) == ("ConstantStd", "Halving")
    assert 0.2 > seen["alpha"] >= 0.2 * 0.5**3  # a mean over updates between 20 and 60 env steps
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["env"]["wrappers"] == [{"name": "thermostat.env.SteadyHand", "weight": 0.1}]
    asked = ("run=run", "episodes=1", "allowed_prefixes=[thermostat]")
    evaluated = run("eval.py", *asked, cwd=tmp_path, env=env)
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads((tmp_path / "run" / "eval.json").read_text())["env_id"] == "Thermostat-v0"


def test_class_outside_the_allowed_prefixes_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    ended = run("train.py", *CONF, "alpha=halving", *TINY, cwd=tmp_path, env=env)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: alpha._target_=thermostat.rule.Halving: must lie under ")
    assert "allowed_prefixes=[PACKAGE]" in ended.stderr
    assert list(tmp_path.iterdir()) == []
