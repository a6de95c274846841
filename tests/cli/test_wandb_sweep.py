"""The W&B sweep file of docs/sweeps.md: the command line that W&B's agent makes of it trains."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import ROOT, TINY
from tests.cli.sweeps import summary
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

# What the controller would choose.
CHOSEN = {"env": "pendulum", "lr": 0.00123, "tau": 0.01, "alpha": "fixed", "batch_size": 64}


@pytest.fixture(scope="module")
def sweep() -> dict[str, Any]:
    """The file."""
    (text,) = re.findall(r"```yaml\n(program: .*?)```", (ROOT / "docs" / "sweeps.md").read_text(), re.DOTALL)
    content: dict[str, Any] = yaml.safe_load(text)
    assert content["parameters"].keys() == CHOSEN.keys()
    return content


def command_line(sweep: dict[str, Any]) -> list[str]:
    """As the agent puts it together: each ${...} is replaced by a list."""
    parts = create_sweep_command_args({"args": {key: {"value": value} for key, value in CHOSEN.items()}})
    parts |= {
        "env": ["/usr/bin/env"],
        "interpreter": [sys.executable],
        "program": [str(ROOT / sweep["program"])],
    }
    line: list[str] = []
    for each in sweep["command"]:
        line += parts[each.removeprefix("${").removesuffix("}")]
    return line


def test_agents_command_line_trains_under_the_agents_run_id(
    sweep: dict[str, Any], tmp_path: Path, process_env: dict[str, str]
) -> None:
    line = command_line(sweep)
    assert line[3:] == [f"{key}={value}" for key, value in CHOSEN.items()]
    env = {**process_env, "WANDB_SWEEP_ID": "sweep001", "WANDB_RUN_ID": "run00042", "WANDB_MODE": "offline"}
    # The agent cannot make a run shorter than the file says; the test does.
    shorter = [each for each in TINY if each != "logger=csv"]
    ended = subprocess.run(
        [*line, *shorter, "hydra.run.dir=run"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert summary(tmp_path / "run")["alpha"] == pytest.approx(0.2)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["lr"], config["tau"], config["batch_size"]) == (0.00123, 0.01, 64)
    (record,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    inspect = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(record)]
    seen = subprocess.run(inspect, capture_output=True, text=True, timeout=60, check=True).stdout
    entries = [json.loads(entry) for entry in seen.splitlines()]
    assert {entry["run"]["run_id"] for entry in entries if entry["type"] == "run"} == {"run00042"}
    rows = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
    assert any(sweep["metric"]["name"] in row for row in rows)
