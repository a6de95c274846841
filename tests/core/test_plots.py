"""The pictures exist, whole, for every metrics file a run can leave."""

import numpy as np
import pytest
from PIL import Image

from sac_lightning.core.plots import learning_curve, temperature
from sac_lightning.training.loggers import MetricsCSV, read_metrics

STEPS = np.arange(1, 51) * 1000.0
NAN = np.full(50, np.nan)


def a_run() -> dict[str, np.ndarray]:
    evaluated = np.where(np.arange(50) % 5 == 4, -100.0 - STEPS / 1000, np.nan)
    return {
        "env_steps": STEPS,
        "rollout/return_mean": -STEPS / 100,
        "eval/return_mean": evaluated,
        "eval/return_std": np.where(np.isnan(evaluated), np.nan, 20.0),
        "train/alpha": np.exp(-STEPS / 9000),
        "train/entropy": -STEPS / 50000,
        "train/target_entropy": np.full(50, -1.0),
    }


RUNS = {
    "whole": a_run(),
    "one row": {key: column[4:5] for key, column in a_run().items()},
    "no evaluation": {**a_run(), "eval/return_mean": NAN, "eval/return_std": NAN},
    "no std": {**a_run(), "eval/return_std": NAN},
    "nothing but NaN": {key: STEPS if key == "env_steps" else NAN for key in a_run()},
    "missing columns": {"env_steps": STEPS},
    "no rows": {key: column[:0] for key, column in a_run().items()},
    "only step 0": {key: column[:1] * 0 for key, column in a_run().items()},
    "alpha is 0": {**a_run(), "train/alpha": np.zeros(50)},
    "alpha reaches 0": {**a_run(), "train/alpha": np.linspace(1, 0, 50)},
    "alpha is constant": {**a_run(), "train/alpha": np.full(50, 0.2)},
    "alpha explodes": {**a_run(), "train/alpha": np.logspace(-12, 30, 50)},
    "infinite": {**a_run(), "train/entropy": np.full(50, -np.inf), "train/alpha": np.full(50, np.inf)},
}


@pytest.mark.parametrize("draw", [learning_curve, temperature])
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
@pytest.mark.filterwarnings("error")
def test_every_run_can_be_drawn(draw, run, tmp_path):
    out = tmp_path / "plots" / "picture.png"
    draw(run, out, r"A title with $ and _ in it")
    with Image.open(out) as image:
        image.load()
        assert min(image.size) > 500
    assert [path.name for path in out.parent.iterdir()] == ["picture.png"]


def test_the_metrics_file_is_what_the_plots_take(tmp_path):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"rollout/return_mean": 1.0}, 1000)
    learning_curve(read_metrics(logger.path), tmp_path / "curve.png", "")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_drawing_leaves_the_style_of_the_process_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    temperature(a_run(), tmp_path / "t.png", "")
    assert dict(matplotlib.rcParams) == before
