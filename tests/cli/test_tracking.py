"""What W&B and TensorBoard know of a run that `train.py` makes: config, commit, checkpoints, media."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import TINY, Command, Server

from sac_lightning.cli.config import git_commit

OFFLINE = ("logger=wandb", "logger.wandb.mode=offline", "env.max_episode_steps=10", "hydra.run.dir=run")
EVERYTHING = (
    *("logger.wandb.entity=a-team", "logger.wandb.notes='two words'", "logger.wandb.log_model=true"),
    *("logger.wandb.video_every=2", "logger.wandb.histograms=all"),
)
FAULTY = ("env.imports=[faulty_envs]", "env.allowed_prefixes=[faulty_envs]")
Records = list[dict[str, Any]]


def records(run: Path, kind: str) -> Records:
    """All records of one kind in the newest offline run of a run directory."""
    *_, newest = sorted(run.glob("wandb/offline-run-*/run-*.wandb"))
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(newest)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    found = [json.loads(line) for line in answer.splitlines()]
    return [record[kind] for record in found if record["type"] == kind]


def config_of(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for record in records(run, "config"):
        config |= record["update"]
    return config


def aliases(run: Path) -> list[set[str]]:
    return [set(record["aliases"]) for record in records(run, "artifact") if record["type"] == "model"]


def rows(run: Path) -> Records:
    return [record["item"] for record in records(run, "history")]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, server: Server) -> tuple[Path, str]:
    """A run with everything asked for, in a git repository: its folder, and the commit."""
    cwd = tmp_path_factory.mktemp("tracked")
    git = ["git", "-C", str(cwd), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", str(cwd)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    ended = server.call("train", cwd, (*TINY, *OFFLINE, *EVERYTHING, "alpha=fixed", "lr=0.002"))
    assert ended.code == 0, ended.err
    return cwd / "run", head.stdout.strip()


def test_wandb_has_the_resolved_config_the_versions_and_the_commit(tracked: tuple[Path, str]) -> None:
    run, commit = tracked
    config = config_of(run)
    assert (config["lr"], config["actor"]["lr"], config["total_env_steps"]) == (0.002, 0.002, 60)
    assert config["alpha"]["_target_"] == "sac_lightning.entropy.Fixed"
    assert (config["env"]["id"], config["env"]["kwargs"]) == ("Pendulum-v1", {"g": 10})
    names = {"python", "torch", "pytorch-lightning", "gymnasium", "sac-lightning"}
    assert names <= config["versions"].keys()
    assert config["git_commit"] == commit


def test_wandb_has_entity_and_notes(tracked: tuple[Path, str]) -> None:
    (header,) = records(tracked[0], "run")
    assert (header["entity"], header["notes"]) == ("a-team", "two words")


def test_best_and_last_are_artifacts_by_their_env_steps(tracked: tuple[Path, str]) -> None:
    best, last = aliases(tracked[0])
    assert {"best"} < best and ({"env_steps-30"} < best or {"env_steps-60"} < best)
    assert {"last", "env_steps-60"} < last


def test_an_episode_is_filmed_every_second_epoch(tracked: tuple[Path, str]) -> None:
    run, _ = tracked
    assert [film.name for film in (run / "videos").iterdir()] == ["env_steps-60.mp4"]
    (filmed,) = [row for row in rows(run) if any(key.startswith("eval/video") for key in row)]
    assert filmed["env_steps"] == 60
    assert len(list(run.glob("wandb/offline-run-*/files/media/videos/eval/*.mp4"))) == 1


def test_histograms_come_with_the_rows_of_training_metrics(tracked: tuple[Path, str]) -> None:
    found = rows(tracked[0])
    training = [row for row in found if "train/critic_loss" in row]
    assert len(training) == 4  # 60 env steps, a row every ten, and none within the warm-up of twenty
    for row in training:
        for name in ("actor.torso.linear.0.weight", "critic.output.bias"):
            for kind in ("gradients", "parameters"):
                assert row[f"{kind}/{name}._type"] == "histogram"
                assert sum(row[f"{kind}/{name}.values"]) > 0
    assert not any("gradients" in key for row in found if row not in training for key in row)
    assert "gradients" not in (tracked[0] / "metrics.csv").read_text().partition("\n")[0]


def test_without_being_asked_a_run_has_its_config_and_no_more(finished_run: Path) -> None:
    config = config_of(finished_run)
    assert (config["batch_size"], config["alpha"]["init"]) == (32, 1)
    assert "python" in config["versions"]
    assert aliases(finished_run) == []
    assert not (finished_run / "videos").exists()
    assert not any(key.startswith(("gradients", "parameters")) for row in rows(finished_run) for key in row)


def test_a_resumed_run_tracks_on(train: Command, tmp_path: Path) -> None:
    assert train(*TINY, *OFFLINE, "logger.wandb.log_model=true").code == 0
    ended = train("resume=run", "total_env_steps=90")
    assert ended.code == 0, ended.err
    assert config_of(tmp_path / "run")["total_env_steps"] == 90
    assert any({"last", "env_steps-90"} < each for each in aliases(tmp_path / "run"))


def test_a_run_that_fails_keeps_its_last_checkpoint_at_wandb(train: Command, tmp_path: Path) -> None:
    named = ["env=gym", "env.id=Faulty-v0", "+env.kwargs={fault: raise, at: 45}"]
    ended = train(*TINY, *OFFLINE, *named, *FAULTY, "logger.wandb.log_model=true")
    assert ended.code == 1, ended.err
    assert any({"last", "env_steps-30"} < each for each in aliases(tmp_path / "run"))


@pytest.mark.parametrize(
    ("hides", "env", "why"),
    [
        (("imageio_ffmpeg",), (), "needs imageio_ffmpeg"),
        (("imageio",), (), "needs imageio"),
        (
            (),
            ("env=gym", "env.id=Steady-v0", "+env.kwargs.reward=1", *FAULTY),
            "renders no images",
        ),
    ],
)
def test_a_film_that_cannot_be_made_is_one_warning(
    hides: tuple[str, ...], env: tuple[str, ...], why: str, train: Command, tmp_path: Path
) -> None:
    ended = train(*TINY, *OFFLINE, *env, "logger.wandb.video_every=1", hides=hides)
    assert ended.code == 0, ended.err
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("no evaluation is filmed") == 1
    assert why in log
    assert not (tmp_path / "run" / "videos").exists()


def test_tensorboard_has_the_hyperparameters(train: Command, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    assert train(*TINY, "logger=tensorboard", "hydra.run.dir=run", "alpha=fixed").code == 0
    written = yaml.safe_load((tmp_path / "run" / "tensorboard" / "hparams.yaml").read_text())
    assert written["alpha"]["value"] == 0.2
    assert "torch" in written["versions"]


def test_a_logger_of_lightning_gets_them_too(train: Command, tmp_path: Path) -> None:
    lightnings = "+logger.more={_target_: pytorch_lightning.loggers.CSVLogger, save_dir: elsewhere}"
    assert train(*TINY, lightnings, "lr=0.0003").code == 0
    (file,) = (tmp_path / "elsewhere").rglob("hparams.yaml")
    assert yaml.safe_load(file.read_text())["lr"] == 0.0003


def test_a_folder_outside_of_any_repository_has_no_commit(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    assert git_commit(tmp_path / "missing") is None
