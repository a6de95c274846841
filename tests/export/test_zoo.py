"""The policies in `zoo`: each plays, and its ONNX model acts as it does."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import ROOT, Server, mistake

from sac_lightning import SACModule
from sac_lightning.cli.hub import FILES
from sac_lightning.export import TOLERANCE, largest_difference, run_onnx

ZOO = ROOT / "zoo"
NAMES = sorted(each.name for each in ZOO.iterdir())
# Far above what chance does: -1200, 20, -500, -30, -180, -280, 20, 2, -60, 120.
ENOUGH = {
    "pendulum": -400,
    "cartpole": 450,
    "acrobot": -200,
    "mountain_car_continuous": 90,
    "lunar_lander": 100,
    "halfcheetah": 9500,
    "hopper": 2500,
    "walker2d": 4500,
    "ant": 4500,
    "humanoid": 2000,
}


def test_zoo_is_small_and_named_as_the_envs_are() -> None:
    assert set(ENOUGH) == set(NAMES)
    assert {f"{name}.yaml" for name in NAMES} <= {each.name for each in (ROOT / "conf" / "env").iterdir()}
    files = [each for each in ZOO.rglob("*") if each.is_file()]
    assert {str(each.relative_to(ZOO)).partition("/")[2] for each in files} == set(FILES)
    assert sum(each.stat().st_size for each in files) < 8e6


@pytest.mark.parametrize("name", NAMES)
def test_policy_plays_and_its_onnx_model_acts_as_it_does(name: str, server: Server, tmp_path: Path) -> None:
    env_id = yaml.safe_load((ZOO / name / "config.yaml").read_text())["env"]["id"]
    ended = server.call("evaluate", tmp_path, (f"run=zoo:{env_id}", "episodes=3"))
    assert ended.code == 0, ended.err
    played = json.loads((tmp_path / "runs" / "zoo" / name / "eval.json").read_text())
    # The best one: processors round differently, and a body may fall once.
    assert played["return_max"] > ENOUGH[name]
    card = (ZOO / name / "README.md").read_text()
    assert f"after {played['env_steps']:,} env steps" in card
    shown = card.partition("**Return: ")[2].partition(" over 100 episodes")[0].replace("-", "−")
    assert f"| `{name}` | {played['env_steps']:,} | {shown} |" in (ROOT / "docs" / "export.md").read_text()
    module = SACModule.load_from_checkpoint(ZOO / name / "policy.ckpt")
    assert largest_difference(module.policy, run_onnx((ZOO / name / "policy.onnx").read_bytes())) <= TOLERANCE


def test_unknown_name_lists_the_zoo(server: Server, tmp_path: Path) -> None:
    line = mistake(server.call("evaluate", tmp_path, ("run=zoo:pendulun",)))
    assert line == f"run=zoo:pendulun: the zoo has {', '.join(NAMES)}. Did you mean pendulum or Pendulum-v1?"


def test_installed_package_says_where_the_zoo_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from sac_lightning.cli import hub
    from sac_lightning.core.errors import ConfigError

    monkeypatch.setattr(hub, "config_dir", lambda: str(tmp_path / "conf"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "sac-eval")])
    with pytest.raises(ConfigError, match="no part of the installed package: clone the repository"):
        hub.folder_of("zoo:pendulum")
