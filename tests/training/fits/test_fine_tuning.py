"""Only a fit that resumes gets back what the old run left; weights alone begin a run of their own."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from small import data_module, module_for, trainer

from sac_lightning import SACModule
from sac_lightning.replay import ReplayBuffer
from sac_lightning.training.loggers import MetricsCSV, read_metrics


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a whole run of 300 env steps."""
    directory = tmp_path_factory.mktemp("old")
    data = data_module(journal_dir=directory / "replay")
    fits = trainer(directory)
    fits.fit(module_for(data), data)
    fits.save_checkpoint(directory / "old.ckpt")
    return directory / "old.ckpt"


def loaded(path: Path) -> SACModule:
    return SACModule.load_from_checkpoint(path)


def by_hand(path: Path) -> SACModule:
    module = module_for(data_module())
    content = torch.load(path, weights_only=True)
    module.on_load_checkpoint(content)
    module.load_state_dict(content["state_dict"])
    return module


def evaluated(path: Path) -> SACModule:
    """By `trainer.validate`, which loads checkpoints as well."""
    data = data_module()
    module = module_for(data)
    trainer(path.parent, limit_val_batches=1).validate(module, data, ckpt_path=path, verbose=False)
    return module


def trained_before(path: Path) -> SACModule:
    """In this process, on other data."""
    data = data_module()
    module = module_for(data)
    trainer(path.parent).fit(module, data)
    return module


MODULES = pytest.mark.parametrize("make", [loaded, by_hand, evaluated, trained_before])
Make = Callable[[Path], SACModule]


@MODULES
def test_every_row_of_training_is_written(checkpoint: Path, tmp_path: Path, make: Make) -> None:
    module, data = make(checkpoint), data_module(total_env_steps=200)
    fits = trainer(tmp_path, logger=MetricsCSV(tmp_path / "metrics.csv"), limit_val_batches=1)
    fits.fit(module, data)
    rows = read_metrics(tmp_path / "metrics.csv")
    trained = np.isfinite(rows["train/critic_loss"])
    every = [each for each in rows["env_steps"][trained] if each % 20 == 0]
    assert every == [60, 80, 100, 120, 140, 160, 180, 200]  # from learning_starts=40 on
    assert np.isfinite(rows["time/env_steps_per_s"][rows["env_steps"] % 20 == 0]).all()
    assert list(rows["env_steps"][np.isfinite(rows["eval/return_mean"])]) == [100, 200]
    assert (int(module.env_steps), int(module.grad_steps), fits.global_step) == (200, 160, 160)


class Drawn(pl.Callback):
    """What the first batch finds: the global random states, the noise, and what has been logged."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0 and trainer.current_epoch == 0:
            self.states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
            self.noise = pl_module.update_loop.noise_generator.get_state().tolist()
            self.latest = dict(pl_module.latest)


@MODULES
def test_nothing_random_of_the_old_run_comes_back(checkpoint: Path, tmp_path: Path, make: Make) -> None:
    found = []
    for module in (module_for(data_module()), make(checkpoint)):
        random.seed(77)
        np.random.seed(77)
        torch.manual_seed(77)
        drawn = Drawn()
        trainer(tmp_path, callbacks=[drawn], max_epochs=1).fit(module, data_module())
        found.append((drawn.states, drawn.noise, drawn.latest))
    assert found[0] == found[1]


@MODULES
def test_a_fit_that_resumes_has_everything(checkpoint: Path, tmp_path: Path, make: Make) -> None:
    journal = checkpoint.parent / "replay"
    expected = data_module(total_env_steps=400, replay=ReplayBuffer(300), journal_dir=journal)
    whole = module_for(expected)
    trainer(tmp_path, max_epochs=4).fit(whole, expected, ckpt_path=checkpoint)
    module, data = (
        make(checkpoint),
        data_module(total_env_steps=400, replay=ReplayBuffer(300), journal_dir=journal),
    )
    trainer(tmp_path, max_epochs=4).fit(module, data, ckpt_path=checkpoint)
    assert (data.env_steps, int(module.grad_steps)) == (400, 360)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, module.state_dict()[name]), name


def test_an_evaluation_of_a_checkpoint_leaves_the_data_alone(checkpoint: Path, tmp_path: Path) -> None:
    data = data_module(total_env_steps=200)
    module = module_for(data)
    fits = trainer(tmp_path, limit_val_batches=1)
    fits.fit(module, data)
    fits.validate(module, data, ckpt_path=checkpoint, verbose=False)
    assert data.env_steps == 200  # not the checkpoint's 300


def test_a_module_that_acts_is_one_that_trains_again(checkpoint: Path, tmp_path: Path) -> None:
    module = loaded(checkpoint)
    assert not module.training
    with pytest.warns() as caught:
        trainer(tmp_path, max_epochs=1).fit(module, data_module())
    assert not [each for each in caught if "eval mode" in str(each.message)]
    assert module.training
