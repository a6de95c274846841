"""The W&B logger on real offline runs, read back from their files."""

import json
import logging
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sac_lightning.core.errors import ConfigError
from sac_lightning.training.callbacks.plots import log_image
from sac_lightning.training.loggers import EnvStepWandbLogger, choose_mode

KEY = "0123456789" * 4


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("WANDB_") and name != "WANDB_SERVICE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(
        "sac_lightning.training.loggers.wandb._setting", {"base_url": "https://api.wandb.ai"}.get
    )


def records(sync_dir: str) -> list[dict]:
    wandb = Path(sys.executable).with_name("wandb")
    command = [str(wandb), "leet", "inspect", "--json", sync_dir]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def of_type(kind: str, found: list[dict]) -> list[dict]:
    return [record[kind] for record in found if record["type"] == kind]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One offline run with everything in it: (records, logger, log lines, environment before and after)."""
    directory = tmp_path_factory.mktemp("run")
    png = directory / "curve.png"
    Image.new("RGB", (8, 6), "red").save(png)
    import wandb

    wandb.setup()  # W&B tells its child processes in the environment where its service is
    before = dict(os.environ)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log = logging.getLogger("sac_lightning.training.loggers.wandb")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    arguments = {"name": "n" * 300, "group": "sweep", "job_type": "train", "tags": ["a", "b" * 90]}
    logger = EnvStepWandbLogger(dir=directory, mode="offline", **arguments)
    promised = logger.run_id
    logger.log_hyperparams({"gamma": 0.99})
    logger.log_metrics({"train/alpha": 0.5, "epoch": 0}, 1000)
    logger.log_metrics({"eval/return_mean": -3.0}, 1000)
    log_image(logger, "plots/learning_curve", png, 2000)
    logger.log_image("plots/again", [str(png)])
    logger.finalize("success")
    logger.finish(0)
    log.removeHandler(handler)
    assert logger.run_id == promised
    return records(logger.sync_dir), logger, lines, before, dict(os.environ)


def test_every_row_carries_env_steps(run):
    history = of_type("history", run[0])
    assert [row["item"]["env_steps"] for row in history] == [1000, 1000, 2000, 2000]
    assert [row["step"]["num"] for row in history] == [0, 1, 2, 3]
    assert history[0]["item"]["train/alpha"] == 0.5
    assert history[1]["item"]["eval/return_mean"] == -3
    assert not any("epoch" in row["item"] or "trainer/global_step" in row["item"] for row in history)


def test_env_steps_is_the_x_axis_of_everything(run):
    metrics = of_type("metric", run[0])
    assert {"env_steps"} == {metric["name"] for metric in metrics if "name" in metric}
    assert [(metric["glob_name"], metric["step_metric"]) for metric in metrics if "glob_name" in metric] == [
        ("*", "env_steps")
    ]


def test_an_image_is_a_file_of_the_run(run):
    history = of_type("history", run[0])
    assert "plots/learning_curve" in json.dumps(history[2])
    assert len(list(Path(run[1].sync_dir).rglob("*.png"))) == 2


def test_the_run_is_described(run):
    header = of_type("run", run[0])[0]
    assert header["run_id"] == run[1].run_id
    assert (header["project"], header["run_group"], header["job_type"]) == ("sac_lightning", "sweep", "train")
    assert len(header["display_name"]) == 128
    assert header["tags"] == ["a", "b" * 64]
    assert {"gamma": 0.99} in [record.get("update") for record in of_type("config", run[0])]
    assert of_type("exit", run[0])[0].get("exit_code", 0) == 0


def test_one_line_says_how_to_sync(run):
    assert run[2] == [f"W&B: this run is kept offline; send it with: wandb sync {run[1].sync_dir}"]
    assert Path(run[1].sync_dir).is_dir()


def test_the_environment_is_left_as_it_was(run):
    assert run[3] == run[4]


def test_the_next_run_of_a_process_is_a_new_one_and_draws_no_random_number(run, tmp_path):
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    logger = EnvStepWandbLogger(dir=tmp_path, mode="offline", id="chosen01")
    logger.log_metrics({"train/alpha": 0.1}, 5)
    logger.finish(1)
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert logger.version == "chosen01"
    assert logger.sync_dir != run[1].sync_dir
    found = records(logger.sync_dir)
    assert of_type("run", found)[0]["run_id"] == "chosen01"
    assert len(of_type("history", found)) == 1
    assert of_type("exit", found)[0]["exit_code"] == 1


def test_disabled_records_nothing(tmp_path):
    logger = EnvStepWandbLogger(dir=tmp_path, mode="disabled")
    logger.log_metrics({"train/alpha": 0.1}, 5)
    logger.finish(0)
    assert logger.sync_dir == ""
    assert not list(tmp_path.rglob("*.wandb"))


def test_an_unused_logger_finishes_without_a_run(tmp_path):
    EnvStepWandbLogger(dir=tmp_path, mode="offline").finish(1)
    assert not list(tmp_path.iterdir())


def test_auto_is_offline_without_a_key():
    assert choose_mode() == "offline"


def test_auto_is_online_with_a_key_in_the_environment(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert choose_mode() == "online"
    for said, mode in {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}.items():
        monkeypatch.setenv("WANDB_MODE", said)
        assert choose_mode() == mode


def test_auto_is_online_with_a_key_in_netrc(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    assert choose_mode() == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert choose_mode() == "offline"


def test_online_without_a_key_is_refused_up_front():
    with pytest.raises(ConfigError, match="mode=online: online needs an API key"):
        choose_mode("online")


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ConfigError, match="mode=on: must be one of auto"):
        EnvStepWandbLogger(dir=tmp_path, mode="on")
    with pytest.raises(ConfigError, match="project=a/b"):
        EnvStepWandbLogger(dir=tmp_path, project="a/b")


SILENT_SERVER = """
    import sac_lightning.training.loggers.wandb as module
    module.INIT_TIMEOUT_S = 2.0
    logger = module.EnvStepWandbLogger(dir={dir!r}, id="wanted01")
    logger.log_metrics({{"train/alpha": 0.1}}, 5)
    logger.finish(0)
    print(logger.mode, logger.run_id, logger.sync_command)
"""


def test_a_server_that_does_not_answer_leaves_an_offline_run(tmp_path):
    source = str(Path(__file__).parents[3] / "src")
    account = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9", "PYTHONPATH": source}
    environment = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"} | account
    code = textwrap.dedent(SILENT_SERVER.format(dir=str(tmp_path)))
    command = [sys.executable, "-c", code]
    answer = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=100,
    )
    mode, run_id, *sync = answer.stdout.split()
    assert (mode, run_id) == ("offline", "wanted01")
    assert sync[:4] == ["wandb", "sync", "--id", "wanted01"]
    assert [row["item"]["env_steps"] for row in of_type("history", records(sync[-1]))] == [5]
