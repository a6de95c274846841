"""Small real fits on Pendulum: an env whose episodes go on over many steps, so that a restart is seen."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from sac_lightning import ActorConfig, CriticConfig, EnvConfig, ReplayDataModule, SACModule
from sac_lightning.optim import Adam

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


def data_module(env: EnvConfig | str = "Pendulum-v1", **options: Any) -> ReplayDataModule:
    """300 env steps in three epochs, the first 40 random, one evaluation episode an epoch."""
    counts = {"total_env_steps": 300, "steps_per_epoch": 100, "learning_starts": 40}
    small = {"batch_size": 8, "eval_episodes": 1, "seed": 3}
    return ReplayDataModule(env, **{**counts, **small, **options})


def module_for(data: ReplayDataModule, lr_schedule: str | None = None, **options: Any) -> SACModule:
    """Tiny networks; a row of metrics every 20 env steps."""
    nets: dict[str, Any] = {"hidden_sizes": (8,), "optimizer": Adam(lr_schedule=lr_schedule)}
    described = {"actor": ActorConfig(**nets), "critic": CriticConfig(**nets)}
    return SACModule(*data.specs, **{**described, "seed": 3, "log_every_n_env_steps": 20, **options})


def trainer(directory: Path, **options: Any) -> pl.Trainer:
    """A quiet Trainer such as README's, without evaluations or files unless asked."""
    none: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "limit_val_batches": 0}
    return pl.Trainer(default_root_dir=directory, **{**QUIET, **none, "max_epochs": 3, **options})


class RaiseAt(pl.Callback):
    """Raises once, after the batch in which the data module reaches `env_steps`."""

    def __init__(self, env_steps: int, error: BaseException) -> None:
        self.env_steps, self.error = env_steps, error

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Ctrl-C is a KeyboardInterrupt."""
        if vars(trainer)["datamodule"].env_steps >= self.env_steps:
            self.env_steps = 1 << 60
            raise self.error


class SaveAt(pl.Callback):
    """Saves a checkpoint within an epoch, after the batch that reaches `env_steps`."""

    def __init__(self, env_steps: int, path: Path) -> None:
        self.env_steps, self.path = env_steps, path

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Once."""
        if vars(trainer)["datamodule"].env_steps >= self.env_steps:
            self.env_steps = 1 << 60
            trainer.save_checkpoint(self.path)
