"""Whatever is logged in a fit lies at the run's env steps, in every logger."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytorch_lightning.callbacks import DeviceStatsMonitor, LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger
from small import data_module, module_for, trainer

from sac_lightning import SACModule
from sac_lightning.training.loggers import EnvStepWandbLogger, MetricsCSV, TrackioLogger, read_metrics

RATE, BATCH, EPOCH, EVALUATED = "lr-Adam", "mine/batch", "mine/epoch", "mine/evaluated"


class Mine(SACModule):
    """Logs the env steps as its user would, in each way that Lightning has."""

    def on_train_batch_end(self, *args: Any) -> None:
        self.log(BATCH, float(self.env_steps))

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.log(EPOCH, float(self.env_steps))

    def on_validation_epoch_end(self) -> None:
        self.log(EVALUATED, float(self.env_steps))


def fitted(logger: Any, directory: Path, **options: Any) -> None:
    data = data_module()
    small = module_for(data).hparams
    module = Mine(**small)
    watch = [LearningRateMonitor("step"), DeviceStatsMonitor()]
    options = {"callbacks": watch, "limit_val_batches": 1, "log_every_n_steps": 1, **options}
    trainer(directory, logger=logger, **options).fit(module, data)


def check(rows: dict[str, list[tuple[int, float]]]) -> None:
    """`rows` are (step, value) of each name."""
    batches = [32, 64, 96, 100, 132, 164, 196, 200, 232, 264, 296, 300]
    assert rows[BATCH] == [(each, float(each)) for each in batches]
    assert rows[EPOCH] == [(each, float(each)) for each in (100, 200, 300)]
    assert rows[EVALUATED] == [(each, float(each)) for each in (100, 200, 300)]
    assert [step for step, _ in rows[RATE]] == [0, *batches[:-1]]
    stats = next(name for name in rows if name.startswith("DeviceStatsMonitor.on_train_batch_end"))
    assert [step for step, _ in rows[stats]] == batches
    assert [step for step, _ in rows["train/critic_loss"]] == list(range(60, 301, 20))
    assert [step for step, _ in rows["eval/return_mean"]] == [100, 200, 300]


def test_in_metrics_csv(tmp_path: Path) -> None:
    fitted(MetricsCSV(tmp_path / "metrics.csv"), tmp_path)
    table = read_metrics(tmp_path / "metrics.csv")
    steps = table["env_steps"].astype(int)
    check(
        {
            name: [(int(s), v) for s, v in zip(steps, column, strict=True) if np.isfinite(v)]
            for name, column in table.items()
        }
    )


def test_in_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="", version="tb")
    fitted(logger, tmp_path)
    logger.finalize("success")
    events = EventAccumulator(logger.log_dir).Reload()
    check({tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]})


def test_in_lightning_s_own_csv(tmp_path: Path) -> None:
    import csv

    logger = CSVLogger(tmp_path, name="", version="csv")
    fitted(logger, tmp_path)
    rows: dict[str, list[tuple[int, float]]] = {}
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                if cell and name != "step":
                    rows.setdefault(name, []).append((int(row["step"]), float(cell)))
    check(rows)


def test_in_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = MLFlowLogger("pendulum", tracking_uri=f"file:{tmp_path}/mlruns")
    fitted(logger, tmp_path)
    client, run = logger.experiment, logger.run_id
    names = client.get_run(run).data.metrics
    check({name: [(m.step, m.value) for m in client.get_metric_history(run, name)] for name in names})


def test_in_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    logger = TrackioLogger("pendulum", "a run")
    fitted(logger, tmp_path)
    assert trackio.Api().runs("pendulum")[0].config["seed"] == 3
    again = TrackioLogger("pendulum", "a run")
    again.log_metrics({"mine/later": 7.0}, step=400)
    again.finalize("success")
    (run,) = trackio.Api().runs("pendulum")
    rows: dict[str, list[tuple[int, float]]] = {}
    for row in trackio.sqlite_storage.SQLiteStorage.get_logs("pendulum", run_id=run.id):
        for name, value in row.items():
            rows.setdefault(name, []).append((row["step"], value))
    check(rows)
    assert rows["mine/later"] == [(400, 7.0)]


def test_in_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sac_lightning.training.loggers.wandb._setting", {"base_url": "https://api.wandb.ai"}.get
    )
    logger = EnvStepWandbLogger(dir=tmp_path, mode="offline")
    fitted(logger, tmp_path)
    logger.finish(0)
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", logger.sync_dir]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    rows: dict[str, list[tuple[int, float]]] = {}
    for line in answer.stdout.splitlines():
        record = json.loads(line)
        if record["type"] == "history":
            item = record["history"]["item"]
            for name, value in item.items():
                rows.setdefault(name, []).append((item["env_steps"], value))
    check(rows)


def test_a_second_run_with_the_same_logger_has_its_own_env_steps(tmp_path: Path) -> None:
    logger = MetricsCSV(tmp_path / "metrics.csv")
    fitted(logger, tmp_path, max_epochs=1)
    logger.truncate_after(0)
    fitted(logger, tmp_path, max_epochs=1)
    assert list(read_metrics(logger.path)["env_steps"])[-1] == 100
    logger.log_metrics({"after": 1.0}, step=7)  # outside a fit, a step is what it says
    assert 7.0 in read_metrics(logger.path)["env_steps"]


def test_an_evaluation_outside_a_fit_lies_at_the_module_s_env_steps(tmp_path: Path) -> None:
    logger, data = MetricsCSV(tmp_path / "metrics.csv"), data_module()
    module = Mine(**module_for(data).hparams)
    trainer(tmp_path).fit(module, data)
    trainer(tmp_path, logger=logger, limit_val_batches=1).validate(module, data, verbose=False)
    assert list(read_metrics(logger.path)["env_steps"]) == [300]
