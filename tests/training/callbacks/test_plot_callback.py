"""One image logged to every kind of logger, and TensorBoard's step."""

import pytest
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from sac_lightning.training.callbacks.plots import log_image
from sac_lightning.training.loggers import MetricsCSV


@pytest.fixture
def png(tmp_path):
    Image.new("RGBA", (8, 6), "red").save(tmp_path / "p.png")
    return tmp_path / "p.png"


def test_tensorboard_shows_the_image_and_scalars_at_env_steps(tmp_path, png):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="", version="tensorboard", default_hp_metric=False)
    logger.log_metrics({"train/alpha": 0.5}, 4000)
    log_image(logger, "plots/learning_curve", png, 5000)
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/alpha")] == [4000]
    (image,) = events.Images("plots/learning_curve")
    assert (image.step, image.width, image.height) == (5000, 8, 6)


def test_the_csv_takes_no_image(tmp_path, png):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    log_image(logger, "plots/learning_curve", png, 5000)
    assert not logger.path.exists()
