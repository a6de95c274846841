"""Every command once, as people type them: what `make versions` runs with the lowest and the newest versions.

Not collected with the other tests, which say more: `python -m pytest tests/smoke.py`.
"""

import csv
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = (
    *("debug=fast", "threads=1", "device=cpu", "logger=csv", "eval_episodes=1"),
    *("total_env_steps=200", "learning_starts=50", "steps_per_epoch=100", "log_every_n_env_steps=50"),
)
ENVIRONMENT = {**os.environ, "NETRC": os.devnull, "WANDB_MODE": "offline", "COLUMNS": "200"}
Run = Path


def started(command: str, *arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    line = [sys.executable, str(ROOT / command), *arguments]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(line, cwd=cwd, env=ENVIRONMENT, text=True, **pipe)


def ran(command: str, *arguments: str, cwd: Path) -> str:
    """What the command printed. It has to end well."""
    process = started(command, *arguments, cwd=cwd)
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed
    return printed


def trained(run: Run, *arguments: str) -> str:
    return ran("train.py", *TINY, f"hydra.run.dir={run}", *arguments, cwd=run.parent)


def last_return(run: Run) -> float:
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["eval/return_mean"]]
    assert int(rows[-1]["env_steps"]) == 200
    return float(rows[-1]["eval/return_mean"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An eager run of Pendulum-v1."""
    folder = tmp_path_factory.mktemp("runs") / "eager"
    trained(folder, "env=pendulum", "compile=false")
    return folder


def test_trains_eagerly(run: Run) -> None:
    assert math.isfinite(last_return(run))
    assert json.loads((run / "summary.json").read_text())["status"] == "done"


@pytest.mark.parametrize(
    ("env", "precision"),
    [("pendulum", "32-true"), ("pendulum", "bf16-mixed"), ("cartpole", "32-true")],
)
def test_trains_compiled(env: str, precision: str, tmp_path: Path) -> None:
    run = tmp_path / "compiled"
    printed = trained(run, f"env={env}", "compile=true", f"precision={precision}")
    assert "could not compile" not in printed
    assert math.isfinite(last_return(run))


def test_stops_and_resumes(tmp_path: Path) -> None:
    run = tmp_path / "stopped"
    options = ("total_env_steps=20000", "compile=false", "env.vectorization=async", "num_envs=2")
    process = started("train.py", *TINY, f"hydra.run.dir={run}", *options, cwd=tmp_path)
    ends = time.monotonic() + 300
    while not (run / "checkpoints" / "last.ckpt").exists() and process.poll() is None:
        assert time.monotonic() < ends, "no checkpoint was written"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 130, printed
    stopped_at = json.loads((run / "summary.json").read_text())["env_steps"]
    ran("train.py", f"resume={run}", f"total_env_steps={stopped_at // 100 * 100 + 200}", cwd=tmp_path)
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["env_steps"]) == ("done", stopped_at // 100 * 100 + 200)


def test_evaluates_and_films(run: Run) -> None:
    ran("eval.py", f"run={run}", "episodes=1", "video=true", cwd=run.parent)
    assert (run / "eval.json").is_file()
    assert list((run / "videos").glob("*.mp4"))


@pytest.mark.parametrize("form", ["torch", "onnx", "minari"])
def test_exports(run: Run, form: str, tmp_path: Path) -> None:
    ran("export.py", f"run={run}", f"format={form}", f"out={tmp_path / 'exported'}", cwd=run.parent)
    assert (tmp_path / "exported").exists()


def test_sweeps_over_two_and_reports(tmp_path: Path) -> None:
    sweep = ("-m", "seed=0,1", "env=cartpole", "compile=false", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    ran("train.py", *sweep, *TINY, cwd=tmp_path)
    assert [path.parent.name for path in sorted(tmp_path.glob("sweep/*/summary.json"))] == ["0", "1"]
    ran("report.py", f"runs={tmp_path / 'sweep'}", cwd=tmp_path)


def test_jobs_run_side_by_side_and_a_search_tries_two(tmp_path: Path) -> None:
    sweep = ("-m", "seed=0,1", "launcher=joblib", "env=cartpole", f"hydra.sweep.dir={tmp_path / 'joblib'}")
    ran("train.py", *sweep, *TINY, cwd=tmp_path)
    assert len(list(tmp_path.glob("joblib/*/summary.json"))) == 2
    search = ("-m", "hparams_search=optuna", "gamma=choice(0.9,0.99)", "hydra.sweeper.trials=2")
    ran("train.py", *search, "env=cartpole", f"hydra.sweep.dir={tmp_path / 'search'}", *TINY, cwd=tmp_path)
    assert len(list(tmp_path.glob("search/*/summary.json"))) == 2


@pytest.mark.parametrize("logger", ["tensorboard", "wandb"])
def test_logs_elsewhere(logger: str, tmp_path: Path) -> None:
    trained(tmp_path / "run", "env=cartpole", f"logger={logger}")


def test_a_mujoco_env_trains(tmp_path: Path) -> None:
    trained(tmp_path / "run", "env=gym", "env.id=HalfCheetah-v5", "compile=false")


@pytest.mark.parametrize(
    "plugin", ["hydra_plugins.hydra_ray_launcher", "hydra_plugins.hydra_submitit_launcher"]
)
def test_a_launcher_is_there(plugin: str) -> None:
    name = plugin.rpartition("_")[0].rpartition("_")[2]
    importlib.import_module(f"{plugin}.{name}_launcher")
