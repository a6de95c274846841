"""Lightning's step-based options mean what they say, and `fast_dev_run` tries one of everything."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from small import data_module, module_for, trainer

from sac_lightning import ConfigError
from sac_lightning.training.callbacks import BestCheckpoint, LastCheckpoint, PlotCallback


class Batches(pl.Callback):
    """env_steps and global_step after each batch, and at each evaluation."""

    def __init__(self) -> None:
        self.env_steps: list[int] = []
        self.steps: list[int] = []
        self.evaluated: list[int] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.env_steps.append(vars(trainer)["datamodule"].env_steps)
        self.steps.append(trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.evaluated.append(vars(trainer)["datamodule"].env_steps)


def saved(directory: Path) -> list[int]:
    return sorted(int(path.stem.partition("=")[2]) for path in directory.glob("step=*.ckpt"))


@pytest.mark.parametrize(
    ("every", "options", "expected"),
    [
        (50, {}, [50, 100, 150, 200, 250]),  # of 300 − 40 = 260 updates
        (7, {"total_env_steps": 100}, list(range(7, 61, 7))),
        (30, {"utd_ratio": 0.3}, [30, 60]),  # ⌊260·0.3⌋ = 78
        (40, {"num_envs": 4}, [40, 80, 120, 160, 200, 240]),
        (40, {"utd_ratio": 4, "total_env_steps": 80}, [40, 80, 120, 160]),
    ],
)
def test_a_checkpoint_every_n_train_steps(
    tmp_path: Path, every: int, options: dict[str, Any], expected: list[int]
) -> None:
    keeps = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=every, save_top_k=-1)
    data = data_module(**options)
    fits = trainer(tmp_path, callbacks=[keeps], enable_checkpointing=True)
    fits.fit(module_for(data), data)
    assert saved(tmp_path) == expected


def test_batches_stay_long_where_nothing_asks_for_shorter_ones(tmp_path: Path) -> None:
    batches = Batches()
    keeps = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=50, save_top_k=-1)
    data = data_module()
    fits = trainer(tmp_path, callbacks=[batches, keeps], enable_checkpointing=True)
    fits.fit(module_for(data), data)
    # Epochs of 100 env steps in batches of 32, but 50·k updates end at 40 + 50·k env steps.
    assert batches.env_steps[:8] == [32, 64, 90, 100, 132, 140, 172, 190]
    plain = Batches()
    data = data_module()
    trainer(tmp_path, callbacks=[plain]).fit(module_for(data), data)
    assert plain.env_steps[:5] == [32, 64, 96, 100, 132]


@pytest.mark.parametrize("limit", [1, 77, 130])
def test_max_steps_are_gradient_updates(tmp_path: Path, limit: int) -> None:
    data = data_module()
    module = module_for(data)
    fits = trainer(tmp_path, max_steps=limit, max_epochs=-1)
    fits.fit(module, data)
    assert (fits.global_step, int(module.grad_steps), data.env_steps) == (limit, limit, 40 + limit)


def test_max_steps_go_on_in_another_fit(tmp_path: Path) -> None:
    data = data_module()
    module = module_for(data)
    fits = trainer(tmp_path, max_steps=70, max_epochs=-1)
    fits.fit(module, data)
    again = trainer(tmp_path, max_steps=50, max_epochs=-1)  # its global_step begins at 0
    again.fit(module, data)
    assert (again.global_step, int(module.grad_steps)) == (50, 120)


def test_min_steps_are_gradient_updates(tmp_path: Path) -> None:
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
            trainer.should_stop = True

    data = data_module()
    fits = trainer(tmp_path, min_steps=45, min_epochs=0, callbacks=[Stop()])
    fits.fit(module_for(data), data)
    assert fits.global_step == 45


@pytest.mark.parametrize(
    "options", [{"limit_train_batches": 10}, {"limit_train_batches": 0.1}, {"overfit_batches": 10}]
)
def test_a_limit_of_batches_counts_iterations(tmp_path: Path, options: dict[str, Any]) -> None:
    data = data_module(learning_starts=5)
    fits = trainer(tmp_path, max_epochs=4, **options)
    fits.fit(module_for(data), data)
    assert (data.env_steps, fits.global_step) == (40, 35)


def test_a_limit_beyond_what_is_left_of_an_epoch_holds(tmp_path: Path) -> None:
    data = data_module()
    trainer(tmp_path, limit_train_batches=60).fit(module_for(data), data)
    assert data.env_steps == 180  # three times 60, in epochs of at most 100


@pytest.mark.parametrize(("interval", "at"), [(25, [25, 50, 75, 100]), (0.5, [50, 100])])
def test_an_interval_of_evaluations_counts_iterations(tmp_path: Path, interval: Any, at: list[int]) -> None:
    data, batches = data_module(), Batches()
    options = {"val_check_interval": interval, "limit_val_batches": 1}
    trainer(tmp_path, max_epochs=1, callbacks=[batches], **options).fit(module_for(data), data)
    assert batches.evaluated == at


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        ({"max_steps": 50}, {"utd_ratio": 8}, "Trainer.max_steps=50: .* 8 at a time .* from 48 to 56"),
        ({"max_steps": 50}, {"num_envs": 4}, "Trainer.max_steps=50: .* from 48 to 52"),
        ({"every": 50}, {"num_envs": 4}, "ModelCheckpoint.every_n_train_steps=50: .* never stop at 50"),
        ({"every": 40}, {"num_envs": 4, "learning_starts": 42}, "every_n_train_steps=40: .* from 38 to 42"),
    ],
)
def test_what_cannot_be_met_is_refused_before_the_first_step(
    tmp_path: Path, options: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    every = options.pop("every", None)
    callbacks = [] if every is None else [ModelCheckpoint(tmp_path, every_n_train_steps=every)]
    data = data_module(**given)
    fits = trainer(tmp_path, callbacks=callbacks, enable_checkpointing=bool(callbacks), **options)
    with pytest.raises(ConfigError, match=message):
        fits.fit(module_for(data), data)
    assert data.env_steps == 0


def test_a_time_between_checkpoints_is_refused(tmp_path: Path) -> None:
    keeps = ModelCheckpoint(tmp_path, train_time_interval=timedelta(minutes=1))
    data = data_module()
    with pytest.raises(ConfigError, match="train_time_interval=0:01:00: does nothing"):
        trainer(tmp_path, callbacks=[keeps], enable_checkpointing=True).fit(module_for(data), data)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"learning_starts": 0},
        {"utd_ratio": 0.2},
        {"utd_ratio": 3},
        {"num_envs": 4, "steps_per_epoch": 4},
        {"overlap": True},
        {"learning_starts": 290},
    ],
    ids=str,
)
@pytest.mark.parametrize("batches", [True, 3])
def test_fast_dev_run_tries_one_of_everything(tmp_path: Path, batches: Any, options: dict[str, Any]) -> None:
    seen = Batches()
    data = data_module(eval_episodes=5, **options)
    module = module_for(data)
    files = [BestCheckpoint(tmp_path), LastCheckpoint(tmp_path), PlotCallback(tmp_path / "plots")]
    fits = trainer(
        tmp_path,
        fast_dev_run=batches,
        callbacks=[seen, *files],
        enable_checkpointing=True,
        limit_val_batches=1.0,
        logger=True,
    )
    fits.fit(module, data)
    assert len(seen.steps) == int(batches)
    assert all(b > a for a, b in zip([0, *seen.steps], seen.steps, strict=False))  # each batch has an update
    assert data.env_steps <= 40
    assert len(seen.evaluated) == 1
    assert data.evaluator is not None and len(data.evaluator.seeds) == int(batches)
    assert {
        "train/critic_loss",
        "train/actor_loss",
        "train/alpha",
        "eval/return_mean",
    } <= module.latest.keys()
    assert list(tmp_path.iterdir()) == []


def test_a_real_fit_after_fast_dev_run_is_a_real_one(tmp_path: Path) -> None:
    data = data_module(eval_episodes=5)
    module = module_for(data)
    trainer(tmp_path, fast_dev_run=True).fit(module, data)
    trainer(tmp_path).fit(module, data)
    assert data.env_steps == 300 and data.learning_starts == 40
    assert data.evaluator is not None and len(data.evaluator.seeds) == 5
