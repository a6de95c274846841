"""What a user of Lightning does with a Trainer beside `fit`, and with its callbacks."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from small import data_module, module_for, trainer
from torch.utils.data import DataLoader, TensorDataset

from sac_lightning import SACModule


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.Trainer, SACModule, Any]:
    """A run of 300 env steps that averages its weights and watches metrics of training."""
    folder = tmp_path_factory.mktemp("fit")
    data = data_module(learning_starts=20)
    module = module_for(data)
    callbacks = [
        EMAWeightAveraging(),
        EarlyStopping("train/critic_loss", patience=100),
        ModelCheckpoint(folder, "{env}", monitor="rollout/return_mean", mode="max"),
    ]
    fits = trainer(folder, callbacks=callbacks, enable_checkpointing=True, limit_val_batches=1.0)
    fits.fit(module, data)
    return fits, module, data


def test_averaged_weights_leave_the_counters(fitted: tuple[pl.Trainer, SACModule, Any]) -> None:
    _, module, data = fitted
    assert (int(module.env_steps), int(module.grad_steps), data.env_steps) == (300, 280, 300)


def test_checkpoints_of_averaged_weights_have_the_counters(
    fitted: tuple[pl.Trainer, SACModule, Any],
) -> None:
    fits, _, _ = fitted
    loaded = SACModule.load_from_checkpoint(fits.checkpoint_callback.best_model_path)
    assert int(loaded.env_steps) == int(loaded.grad_steps) + 20 == 200  # Pendulum's first return


def test_metrics_of_training_can_be_monitored(fitted: tuple[pl.Trainer, SACModule, Any]) -> None:
    fits, module, _ = fitted
    stopping, checkpoint = fits.early_stopping_callback, fits.checkpoint_callback
    assert 0.0 < float(stopping.best_score) < np.inf
    assert float(checkpoint.best_model_score) == pytest.approx(module.latest["rollout/return_mean"])


def test_validate_and_test_return_their_metrics(fitted: tuple[pl.Trainer, SACModule, Any]) -> None:
    fits, module, data = fitted
    (validated,) = fits.validate(module, datamodule=data, verbose=False)
    (tested,) = fits.test(module, datamodule=data, verbose=False)
    (again,) = fits.validate(module, datamodule=data, verbose=False)
    assert set(validated) == {"eval/return_mean", "eval/return_std", "eval/episodes"}
    assert set(tested) == {"test/return_mean", "test/return_std", "test/episodes"}
    assert validated == again
    assert tested["test/return_mean"] != validated["eval/return_mean"]  # other episodes
    assert (int(module.env_steps), int(module.grad_steps)) == (300, 280)


def test_predict_returns_actions(fitted: tuple[pl.Trainer, SACModule, Any]) -> None:
    fits, module, data = fitted
    (actions,) = fits.predict(module, datamodule=data)
    assert actions.shape == (200, 1)  # one episode of Pendulum
    obs = torch.randn(5, 3)
    (own,) = fits.predict(module, DataLoader(TensorDataset(obs), batch_size=5))
    np.testing.assert_array_equal(own, module.act(obs.numpy(), deterministic=True))


@pytest.mark.parametrize("make", [lambda: gym.make("Pendulum-v1"), lambda: lambda: gym.make("Pendulum-v1")])
def test_an_env_and_a_function_that_makes_one_are_evaluated(make: Any, tmp_path: Path) -> None:
    data = data_module(make(), eval_max_steps=20)
    (metrics,) = trainer(tmp_path, limit_val_batches=1.0).validate(
        module_for(data), datamodule=data, verbose=False
    )
    assert metrics["eval/return_mean"] < 0.0


def test_a_trainer_of_lightning_pytorch_trains(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    program = """
import lightning.pytorch as L
from sac_lightning import ReplayDataModule, SACModule
counts = dict(total_env_steps=40, learning_starts=30, steps_per_epoch=20, eval_episodes=0)
data = ReplayDataModule("Pendulum-v1", **counts)
module, stop = SACModule(*data.specs), L.callbacks.EarlyStopping("train/critic_loss")
trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[stop])
trainer.fit(module, data)
print(int(module.env_steps), trainer.global_step)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "40 10"


def test_a_program_with_both_packages_is_told_what_to_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning.pytorch", ModuleType("lightning.pytorch"))
    with pytest.warns(UserWarning, match="write `import pytorch_lightning as L`"):
        module_for(data_module())


def test_lightning_cli_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "lightning.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": "my_cli"}
    exec(program, names)
    (line,) = re.findall(r"python -m my_cli (fit .*)", page)
    small = (
        "--data.total_env_steps=60 --data.learning_starts=50 --data.steps_per_epoch=60 --data.eval_episodes=1"
    )
    quiet = (
        f"--trainer.logger=false --trainer.default_root_dir={tmp_path} --trainer.enable_progress_bar=false"
    )
    cli = names["main"]([*line.split(), *small.split(), *quiet.split(), "--data.eval_max_steps=5"])
    assert (cli.datamodule.env_steps, int(cli.model.grad_steps), cli.model.seed) == (60, 10, 1)
