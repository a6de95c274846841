"""A run has `total_env_steps` env steps, wherever a fit begins and whatever `max_epochs` says."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from small import RaiseAt, SaveAt, data_module, module_for, trainer

from sac_lightning import EnvConfig, ReplayDataModule, SACModule
from sac_lightning.replay import MixedReplay, ReplayBuffer
from sac_lightning.training.callbacks import GracefulStop


def same_weights(one: SACModule, other: SACModule) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def whole_run(directory: Path, **options: Any) -> SACModule:
    data = data_module(**options)
    module = module_for(data)
    trainer(directory).fit(module, data)
    return module


@pytest.mark.parametrize("stop", [64, 270])  # in the first epoch, and in the last
@pytest.mark.parametrize("anew", [False, True], ids=["same trainer", "new trainer"])
def test_ctrl_c_then_fit_again_completes_the_run(tmp_path: Path, stop: int, anew: bool) -> None:
    data = data_module()
    module = module_for(data)
    fits = trainer(tmp_path, callbacks=[RaiseAt(stop, KeyboardInterrupt())])
    with pytest.raises(SystemExit):
        fits.fit(module, data)
    assert stop <= data.env_steps < 300
    (trainer(tmp_path) if anew else fits).fit(module, data)
    assert (data.env_steps, int(module.env_steps), int(module.grad_steps)) == (300, 300, 260)


@pytest.mark.parametrize("stop", [30, 130])
def test_a_stop_in_good_order_then_fit_again_completes_the_run(tmp_path: Path, stop: int) -> None:
    class Signal(pl.Callback):
        sent = False

        def on_train_batch_end(self, *args: Any) -> None:
            if data.env_steps >= stop and not self.sent:
                self.sent = True
                signal.raise_signal(signal.SIGINT)

    data = data_module(iterations_per_batch=1)
    module = module_for(data)
    fits = trainer(tmp_path, callbacks=[Signal(), GracefulStop()])
    fits.fit(module, data)
    assert data.env_steps == stop
    fits.fit(module, data)
    assert (data.env_steps, int(module.grad_steps)) == (300, 260)
    # The envs, the optimizers and the random streams went on: this is the run without a stop.
    assert same_weights(module, whole_run(tmp_path))


def test_a_stop_among_updates_on_prior_data_then_fit_again_completes_the_run(tmp_path: Path) -> None:
    class Signal(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
            if not int(module.env_steps) and int(module.grad_steps) == 32:  # of the first batch
                signal.raise_signal(signal.SIGINT)

    rng = np.random.default_rng(0)
    rows = {"obs": rng.random((30, 3)), "action": rng.random((30, 1)), "next_obs": rng.random((30, 3))}
    np.savez(tmp_path / "prior.npz", **rows, reward=rng.random(30), terminated=np.zeros(30, bool))

    def new_data() -> ReplayDataModule:
        replay = MixedReplay(data=[str(tmp_path / "prior.npz")], offline_steps=70)
        return data_module(total_env_steps=60, steps_per_epoch=60, replay=replay)

    data = new_data()
    module = module_for(data, lr_schedule="linear")
    fits = trainer(tmp_path, callbacks=[Signal(), GracefulStop()])
    fits.fit(module, data)
    assert (data.env_steps, int(module.grad_steps)) == (0, 32)
    fits.fit(module, data)
    assert (data.env_steps, int(module.grad_steps)) == (60, 70 + 20)
    whole_data = new_data()
    whole = module_for(whole_data, lr_schedule="linear")
    trainer(tmp_path).fit(whole, whole_data)
    assert same_weights(module, whole)


@pytest.mark.parametrize("saved", [50, 170])
def test_a_checkpoint_within_an_epoch_continues_to_the_end(tmp_path: Path, saved: int) -> None:
    path, data = (
        tmp_path / "within.ckpt",
        data_module(journal_dir=tmp_path / "replay", iterations_per_batch=7),
    )
    whole = module_for(data)
    trainer(tmp_path, callbacks=[SaveAt(saved, path)]).fit(whole, data)
    resumed_data = data_module(journal_dir=tmp_path / "replay", iterations_per_batch=7)
    resumed = module_for(resumed_data)
    fits = trainer(tmp_path)
    fits.fit(resumed, resumed_data, ckpt_path=path)
    assert (resumed_data.env_steps, int(resumed.grad_steps), fits.global_step) == (300, 260, 260)
    assert fits.current_epoch == 3
    assert same_weights(resumed, whole)


def test_a_checkpoint_of_the_evaluation_continues_to_the_end(tmp_path: Path) -> None:
    best = ModelCheckpoint(
        tmp_path, monitor="eval/return_mean", save_top_k=-1, save_on_train_epoch_end=False, filename="{epoch}"
    )
    options = {"enable_checkpointing": True, "limit_val_batches": 1}
    data = data_module(journal_dir=tmp_path / "replay")
    whole = module_for(data, lr_schedule="linear")
    trainer(tmp_path, callbacks=[best], **options).fit(whole, data)
    resumed_data = data_module(journal_dir=tmp_path / "replay")
    resumed = module_for(resumed_data, lr_schedule="linear")
    fits = trainer(tmp_path, limit_val_batches=1)
    fits.fit(resumed, resumed_data, ckpt_path=tmp_path / "epoch=0.ckpt")
    assert (resumed_data.env_steps, int(resumed.grad_steps), fits.current_epoch) == (300, 260, 3)
    assert same_weights(resumed, whole)


@pytest.mark.parametrize("options", [{"max_epochs": 50}, {"max_epochs": -1}, {"max_steps": 10_000}])
def test_a_trainer_with_more_epochs_stops_at_the_end(tmp_path: Path, options: dict[str, int]) -> None:
    data = data_module()
    module = module_for(data, lr_schedule="linear")
    fits = trainer(tmp_path, limit_val_batches=1, **options)
    fits.fit(module, data)
    assert (data.env_steps, fits.current_epoch) == (300, 3)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in fits.optimizers]
    assert rates[0] < 1e-9  # the schedule ends with the run, not with the Trainer's epochs
    fits.fit(module, data)
    assert data.env_steps == 300  # nothing is left to do


def test_fewer_epochs_are_fewer(tmp_path: Path) -> None:
    data = data_module()
    trainer(tmp_path, max_epochs=2).fit(module_for(data), data)
    assert data.env_steps == 200


@pytest.mark.parametrize(
    ("options", "env_steps"),
    [
        ({"total_env_steps": 250}, 250),
        ({"num_envs": 3, "total_env_steps": 301}, 303),
        ({"steps_per_epoch": 299}, 300),
    ],
)
def test_epochs_of_unequal_length_need_nothing_of_the_trainer(
    tmp_path: Path, options: dict[str, int], env_steps: int
) -> None:
    data = data_module(**options)
    trainer(tmp_path, max_epochs=data.max_epochs).fit(module_for(data), data)
    assert data.env_steps == env_steps


class Halt(pl.Callback):
    """Stops as EarlyStopping and Timer do, within an epoch."""

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        trainer.should_stop = 136 <= vars(trainer)["datamodule"].env_steps < 150


@pytest.mark.parametrize(
    "options",
    [{"max_steps": 70, "max_epochs": -1}, {"callbacks": [Halt()]}],
    ids=["max_steps", "should_stop"],
)
def test_a_fit_that_lightning_ends_within_an_epoch_can_be_completed(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    data = data_module(journal_dir=tmp_path / "replay", iterations_per_batch=8)
    fits = trainer(tmp_path, **options)
    module = module_for(data)
    fits.fit(module, data)
    assert 100 < data.env_steps < 200
    fits.save_checkpoint(tmp_path / "last.ckpt")
    resumed = data_module(journal_dir=tmp_path / "replay", iterations_per_batch=8)
    other = module_for(resumed)
    trainer(tmp_path).fit(other, resumed, ckpt_path=tmp_path / "last.ckpt")
    assert (resumed.env_steps, int(other.grad_steps)) == (300, 260)


# --- fit, and fit again ------------------------------------------------------------------------------

ENVS: dict[str, dict[str, Any]] = {
    "sync": {},
    "async": {"env": EnvConfig(id="Pendulum-v1", vectorization="async"), "num_envs": 2},
    "overlap": {"overlap": True},
    "overlap, async": {"env": EnvConfig(id="Pendulum-v1", vectorization="async"), "overlap": True},
}


@pytest.mark.parametrize("options", ENVS.values(), ids=ENVS)
def test_two_fits_are_one(tmp_path: Path, options: dict[str, Any]) -> None:
    data = data_module(**options)
    module = module_for(data)
    trainer(tmp_path, max_epochs=1).fit(module, data)
    assert data.env_steps == 100
    trainer(tmp_path, max_epochs=2).fit(module, data)
    assert (data.env_steps, int(module.grad_steps)) == (300, 260)
    assert same_weights(module, whole_run(tmp_path, **options))


@pytest.mark.parametrize("options", ENVS.values(), ids=ENVS)
def test_a_fit_after_one_that_failed_begins_new_episodes(tmp_path: Path, options: dict[str, Any]) -> None:
    data = data_module(**options)
    module = module_for(data)
    with pytest.raises(RuntimeError, match="on purpose"):
        trainer(tmp_path, callbacks=[RaiseAt(130, RuntimeError("on purpose"))]).fit(module, data)
    trainer(tmp_path).fit(module, data)
    assert data.env_steps == 300
    assert_transitions_join(data)


def assert_transitions_join(data: ReplayDataModule) -> None:
    """Pendulum's next angle follows from its last: no transition leads from one episode into another."""
    assert data.experience is not None
    store = data.experience.replay.store
    rows = slice(0, 300)
    obs, after = store.obs[rows], store.next_obs[rows]
    angle = torch.atan2(obs[:, 1], obs[:, 0])
    there = torch.atan2(after[:, 1], after[:, 0])
    turned = torch.remainder(there - angle - 0.05 * after[:, 2] + torch.pi, 2 * torch.pi) - torch.pi
    assert turned.abs().max() < 1e-4


def test_a_run_is_made_longer_by_another_fit(tmp_path: Path) -> None:
    data = data_module(replay=ReplayBuffer(400))
    module = module_for(data)
    trainer(tmp_path).fit(module, data)
    data.total_env_steps = 400
    trainer(tmp_path).fit(module, data)
    assert (data.env_steps, int(module.grad_steps)) == (400, 360)
