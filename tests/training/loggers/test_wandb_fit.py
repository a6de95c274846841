"""The W&B logger in a program of one's own: a Trainer, the module and the data module, no `train.py`."""

import logging
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from tests.training.loggers.test_wandb import of_type, records

from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.core.errors import ConfigError
from sac_lightning.training.loggers import EnvStepWandbLogger
from tasks import Clock, env_config


def fit(logger: EnvStepWandbLogger, folder: Path) -> list[dict[str, Any]]:
    """The records of a run of 40 env steps."""
    data = ReplayDataModule(
        env_config(Clock), total_env_steps=40, steps_per_epoch=20, learning_starts=10, batch_size=8
    )
    nets = {"actor": ActorConfig(hidden_sizes=(8,), lr=0.002), "critic": CriticConfig(hidden_sizes=(8,))}
    module = SACModule(*data.specs, **nets, log_every_n_env_steps=10)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=logger,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    logger.finish(0)
    return records(logger.sync_dir)


def test_the_modules_hyperparameters_are_the_runs_config(tmp_path: Path) -> None:
    found = fit(EnvStepWandbLogger(dir=tmp_path, mode="offline", log_model=True), tmp_path)
    config = {key: value for each in of_type("config", found) for key, value in each["update"].items()}
    assert config["critic"]["target_network"]["tau"] == 0.005
    assert (config["actor"]["lr"], config["temperature"]["kind"]) == (0.002, "LearnedTemperature")
    (artifact,) = [each for each in of_type("artifact", found) if each["type"] == "model"]
    assert {"best", "env_steps-40"} < set(artifact["aliases"])  # of Lightning's own ModelCheckpoint
    assert not any(key.startswith("gradients") for row in of_type("history", found) for key in row["item"])


def test_histograms_need_no_more_than_the_logger(tmp_path: Path) -> None:
    found = fit(EnvStepWandbLogger(dir=tmp_path, mode="offline", histograms="gradients"), tmp_path)
    rows = [each["item"] for each in of_type("history", found)]
    training = [row for row in rows if "train/critic_loss" in row]
    assert training and all("gradients/critic.torso.linear.0.weight._type" in row for row in training)
    assert not any(key.startswith("parameters") for row in rows for key in row)


def test_lightnings_own_watch_is_heard(tmp_path: Path) -> None:
    logger = EnvStepWandbLogger(dir=tmp_path, mode="offline")
    with pytest.raises(ConfigError, match="log=weights: must be gradients"):
        logger.watch(pl.LightningModule(), log="weights")
    logger.watch(pl.LightningModule(), log=None)
    logger.log_metrics({"train/critic_loss": 1.0}, 5)
    logger.finish(0)
    assert len(of_type("history", records(logger.sync_dir))) == 1


def test_films_need_their_callback_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sac_lightning"):
        logger = EnvStepWandbLogger(dir=tmp_path, mode="offline", video_every=1)
        fit(logger, tmp_path)
    assert [each for each in caplog.messages if "give the Trainer the callback EvaluationVideo" in each]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log_model": "all"}, "log_model=all: must be true or false"),
        ({"video_every": 0}, "video_every=0: must be a whole number of epochs"),
        ({"video_every": 1.5}, "video_every=1.5: must be a whole number of epochs"),
        ({"histograms": "weights"}, "histograms=weights: must be gradients, parameters, all or null"),
        ({"entity": 5}, "entity=5: must be text, or null"),
        ({"notes": ["a"]}, r"notes=\['a'\]: must be text, or null"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        EnvStepWandbLogger(dir=tmp_path, mode="offline", **options)
