"""Small real runs as a library user writes them, and all that a run leaves behind, for comparison."""

import csv
import math
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from sac_lightning import ActorConfig, CriticConfig, EnvConfig, ReplayDataModule, SACModule
from sac_lightning.core.checkpoint import journal_manifests, read_checkpoint
from sac_lightning.core.seeding import seed_global_rng
from sac_lightning.entropy import TemperatureRule
from sac_lightning.optim import Adam
from sac_lightning.replay import Journal, MixedReplay, ReplayBuffer
from sac_lightning.training.callbacks import AtomicCheckpointIO, BestCheckpoint, GracefulStop, LastCheckpoint
from sac_lightning.training.loggers import MetricsCSV

QUIET = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "reload_dataloaders_every_n_epochs": 1,
}


@dataclass(frozen=True)
class Run:
    """What a run is made of; everything but the directory is the same for all that are compared."""

    env: str = "Pendulum-v1"
    vectorization: Any = "sync"
    num_envs: int = 1
    precision: Any = "32-true"
    total_env_steps: int = 160
    steps_per_epoch: int = 60
    learning_starts: int = 40
    capacity: int = 100  # less than the run's steps: the ring is overwritten
    lr_schedule: str | None = "linear"
    temperature: TemperatureRule | None = None
    env_options: dict[str, Any] = field(default_factory=dict)
    overlap: bool = False
    eval_episodes: int = 1
    eval_max_steps: int | None = None
    prior: tuple[str, ...] = ()
    offline_steps: int = 0
    frame_stack: int = 1
    storage: Any = "memory"
    actors: int = 0
    collect_steps: int = 1

    def parts(self, directory: Path) -> tuple[SACModule, ReplayDataModule]:
        """A fresh module and a fresh data module."""
        env = EnvConfig(id=self.env, vectorization=self.vectorization, **self.env_options)
        counts = ("total_env_steps", "steps_per_epoch", "learning_starts", "num_envs")
        data = ReplayDataModule(
            env,
            **{key: getattr(self, key) for key in counts},
            replay=self.replay(),
            batch_size=16,
            overlap=self.overlap,
            actors=self.actors,
            collect_steps=self.collect_steps,
            deterministic=True,
            iterations_per_batch=1,  # stops are counted in batches
            eval_episodes=self.eval_episodes,
            eval_max_steps=self.eval_max_steps,
            seed=3,
            journal_dir=directory / "replay",
        )
        optim: dict[str, Any] = {"hidden_sizes": (16,), "optimizer": Adam(lr_schedule=self.lr_schedule)}
        module = SACModule(
            *data.specs,
            actor=ActorConfig(**optim),
            critic=CriticConfig(**optim),
            temperature=self.temperature,
            seed=3,
            log_every_n_env_steps=20,
        )
        return module, data

    def replay(self) -> ReplayBuffer:
        """A fresh buffer, with prior data where there are any."""
        if not self.prior:
            return ReplayBuffer(self.capacity, frame_stack=self.frame_stack, storage=self.storage)
        return MixedReplay(self.capacity, n_step=2, data=self.prior, offline_steps=self.offline_steps)

    def to_the_end(self, directory: Path, extra: Iterable[Callback] = ()) -> None:
        """Begin the run in `directory`, or continue it from its last checkpoint with fresh objects."""
        module, data = self.parts(directory)
        last = directory / "checkpoints" / "last.ckpt"
        seed_global_rng(3)  # a checkpoint brings its own
        csv_log = MetricsCSV(directory / "metrics.csv")
        epochs, resume_from = data.max_epochs, None
        if last.exists():
            content = read_checkpoint(last)
            env_steps = int(content["state_dict"]["sac.env_steps"])
            csv_log.truncate_after(env_steps)
            progress = content["loops"]["fit_loop"]["epoch_progress"]["current"]
            left = (
                data.max_epochs - env_steps // self.steps_per_epoch if env_steps < data.total_env_steps else 0
            )
            due = content[ReplayDataModule.__qualname__]["evaluation_due"]
            epochs = progress["processed"] + left + due
            resume_from = last
        self.trainer(directory, epochs, extra, csv_log).fit(module, data, ckpt_path=resume_from)

    def trainer(
        self, directory: Path, epochs: int, extra: Iterable[Callback] = (), logger: Any = False
    ) -> pl.Trainer:
        """A Trainer with everything that a resumable run needs."""
        checkpoints = directory / "checkpoints"
        return pl.Trainer(
            max_epochs=epochs,
            precision=self.precision,
            logger=logger,
            callbacks=[*extra, GracefulStop(), BestCheckpoint(checkpoints), LastCheckpoint(checkpoints)],
            plugins=[AtomicCheckpointIO()],
            default_root_dir=directory,
            **QUIET,
        )

    def with_more(self, **changes: Any) -> "Run":
        """Another run that differs in `changes`."""
        return replace(self, **changes)


class StopAt(Callback):
    """Sends this process a signal at `env_steps`, as a terminal or SLURM does."""

    def __init__(self, env_steps: int, number: int = signal.SIGTERM) -> None:
        self.env_steps, self.number = env_steps, number

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Once, at the first turn from there on."""
        if trainer.datamodule.env_steps >= self.env_steps:
            self.env_steps = 1 << 60
            os.kill(os.getpid(), self.number)


def saved_state(directory: Path, capacity: int) -> dict[str, Any]:
    """Everything that a stop might change, by name: tensors, numbers and strings.

    Left out are the clock's readings, absolute paths, and how many pieces the stops have made of the
    epochs (Lightning's loops) and of the journal, whose transitions are here instead.
    """
    content = read_checkpoint(directory / "checkpoints" / "last.ckpt")
    data = content[ReplayDataModule.__qualname__]
    own = dict(content["sac_lightning"])
    own["latest"] = {key: value for key, value in own["latest"].items() if not key.startswith("time/")}
    best = [state for key, state in content["callbacks"].items() if key.startswith("BestCheckpoint")]
    return dict(
        _leaves(
            {
                "weights": content["state_dict"],
                "global_step": content["global_step"],
                "optimizers": content["optimizer_states"],
                "schedulers": content["lr_schedulers"],
                "collector": data["collector"],
                "envs": data["envs"],
                "replay": data["replay"],
                "transitions": transitions(directory, content, capacity),
                "own": own,
                "best": [state["best_model_score"] for state in best],
                "rows": metric_rows(directory),
            }
        )
    )


def transitions(directory: Path, content: dict[str, Any], capacity: int) -> dict[str, torch.Tensor]:
    """The ring as the journal gives it back."""
    data, spec = content[ReplayDataModule.__qualname__], content["hyper_parameters"]
    module = SACModule(spec["obs"], spec["action"])
    ring = ReplayBuffer.of(capacity, module.obs_spec, module.action_spec, seed=0)
    Journal(directory / "replay").load(ring, journal_manifests(content)[0], data["replay"]["added"])
    return {name: field[: len(ring)] for name, field in ring.store._asdict().items()}


def metric_rows(directory: Path) -> list[dict[str, str]]:
    """metrics.csv without the clock's columns, as text."""
    with (directory / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{key: cell for key, cell in row.items() if not key.startswith("time/")} for row in rows]


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names whose values differ in a bit."""
    names = [*expected, *(name for name in found if name not in expected)]
    return [name for name in names if not _same(found.get(name), expected.get(name))]


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, torch.Tensor):
        same_kind = isinstance(found, torch.Tensor) and found.dtype == expected.dtype
        return same_kind and found.shape == expected.shape and torch.equal(_bits(found), _bits(expected))
    if isinstance(expected, float) and isinstance(found, float) and math.isnan(expected):
        return math.isnan(found)
    return type(found) is type(expected) and found == expected


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from _leaves(item, f"{name}/{key}")
    elif isinstance(tree, list | tuple):
        for index, item in enumerate(tree):
            yield from _leaves(item, f"{name}/{index}")
    else:
        yield name, tree
