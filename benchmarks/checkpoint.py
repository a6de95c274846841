"""What a checkpoint and a resume cost with a full buffer of a million HalfCheetah transitions.

    python benchmarks/checkpoint.py [--epochs 10] [--transitions 1000000] [--eager]

The run is the default one (two layers of 256, one update an env step) with a checkpoint every 1,000 env
steps, on two threads; its buffer is filled beforehand with random transitions. Writes results/checkpoint.csv.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from sac_lightning import EnvConfig, ReplayDataModule, SACModule
from sac_lightning.core.checkpoint import journal_manifest, read_checkpoint
from sac_lightning.core.hardware import keep_freed_memory
from sac_lightning.replay import Journal, ReplayBuffer, planned_bytes
from sac_lightning.training.callbacks import AtomicCheckpointIO, LastCheckpoint

STEPS = 1000
RESULTS = Path(__file__).parent / "results" / "checkpoint.csv"


class Clock(LastCheckpoint):
    """Seconds of each epoch, and of its checkpoint with the pruning."""

    def __init__(self, dirpath: Path, transitions: int) -> None:
        super().__init__(dirpath)
        self.transitions = transitions
        self.checkpoints: list[float] = []
        self.epochs: list[float] = []
        self._began = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fill the buffer, and let the journal have it."""
        replay = trainer.datamodule.experience.replay
        rng = np.random.default_rng(0)
        for _ in range(self.transitions // 10_000):
            obs = rng.random((10_000, 17))
            replay.add(obs, rng.random((10_000, 6)), obs[:, 0], obs, obs[:, 0] < 0.1)
        super().on_train_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The epoch's clock."""
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The checkpoint's."""
        began = time.perf_counter()
        self.epochs.append(began - self._began)
        super().on_train_epoch_end(trainer, pl_module)
        self.checkpoints.append(time.perf_counter() - began)


def data_module(directory: Path, transitions: int, epochs: int) -> ReplayDataModule:
    """HalfCheetah with a journal."""
    return ReplayDataModule(
        EnvConfig(id="HalfCheetah-v5"),
        total_env_steps=epochs * STEPS,
        steps_per_epoch=STEPS,
        learning_starts=0,
        replay=ReplayBuffer(transitions),
        journal_dir=directory / "replay",
    )


def train(directory: Path, transitions: int, epochs: int, compiled: bool) -> dict[str, float]:
    """Milliseconds of the checkpoints, and their share of the training time."""
    data = data_module(directory, transitions, epochs + 1)
    keep_freed_memory()
    clock = Clock(directory / "checkpoints", transitions)
    trainer = pl.Trainer(
        max_epochs=epochs + 1,
        accelerator="cpu",
        logger=False,
        callbacks=[clock],
        plugins=[AtomicCheckpointIO()],
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=directory,
    )
    trainer.fit(SACModule(*data.specs, compile=compiled), data)
    saves, epochs_s = clock.checkpoints[1:], clock.epochs[1:]  # the first epoch compiles
    return {
        "checkpoint_ms_median": 1e3 * median(saves),
        "checkpoint_ms_max": 1e3 * max(saves),
        "env_steps_per_s": STEPS / median(epochs_s),
        "checkpoint_percent_of_training": 100.0 * sum(saves) / sum(epochs_s),
        "checkpoint_bytes": float((directory / "checkpoints" / "last.ckpt").stat().st_size),
    }


def resume(directory: Path, transitions: int, epochs: int) -> dict[str, float]:
    """Seconds and bytes that a fresh process needs to check and to load the buffer."""
    data = data_module(directory, transitions, epochs)
    obs, action = data.specs
    before, began = peak_bytes(), time.perf_counter()
    content = read_checkpoint(directory / "checkpoints" / "last.ckpt")
    Journal(directory / "replay").check(journal_manifest(content))
    data.setup("fit")
    data.load_state_dict(content[ReplayDataModule.__qualname__])
    seconds = time.perf_counter() - began
    buffer = planned_bytes(transitions, obs, action)
    return {
        "resume_s": seconds,
        "buffer_bytes": float(buffer),
        "resume_memory_over_buffer": (peak_bytes() - before) / buffer,
    }


def peak_bytes() -> int:
    """Returns the peak memory of this process, as Linux reports it."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Train here, resume in a fresh process, write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--transitions", type=int, default=1_000_000)
    arguments.add_argument("--eager", action="store_true", help="no compiled gradients")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    arguments.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    torch.set_num_threads(2)
    size: Any = (given.transitions, given.epochs + 1)
    if given.resume is not None:
        print(json.dumps(resume(given.resume, *size)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = train(Path(folder), given.transitions, given.epochs, not given.eager)
        line = [sys.executable, *sys.argv, "--resume", folder]
        output = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        found |= json.loads(output.splitlines()[-1])
    with given.results.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["transitions", "measure", "value"])
        writer.writerows([given.transitions, key, f"{value:.4g}"] for key, value in found.items())
    print(given.results.read_text())


if __name__ == "__main__":
    main()
