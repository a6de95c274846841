"""Every logger configuration makes the loggers it names, and always the CSV."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pytorch_lightning.loggers import TensorBoardLogger

from sac_lightning.training.loggers import EnvStepWandbLogger, MetricsCSV

CONF = Path(__file__).parents[3] / "conf"
KINDS = {"csv": MetricsCSV, "wandb": EnvStepWandbLogger, "tensorboard": TensorBoardLogger}


@pytest.mark.parametrize("choice", ["csv", "wandb", "tensorboard"])
def test_every_choice_makes_its_loggers_beside_the_csv(choice, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    given = [f"+logger={choice}", f"+paths.run_dir={tmp_path}", "+task_name=train", "+tags=[a,b]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=given)
    loggers = {name: instantiate(one) for name, one in config.logger.items()}
    assert {name: type(logger) for name, logger in loggers.items()} == {
        name: KINDS[name] for name in dict.fromkeys(["csv", choice])
    }
    assert all(Path(logger.save_dir) == tmp_path for logger in loggers.values())
    assert loggers["csv"].path == tmp_path / "metrics.csv"
