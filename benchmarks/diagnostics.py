"""What the entropy diagnostics cost of a default run on Pendulum-v1, on one thread.

    python benchmarks/diagnostics.py [--rounds 40]

Times one look at a mini-batch, one update, and one action with and without its log-density, in turn; the
share is that of a look every 250 env steps and of a density for every eighth (the collector's), at one
update an env step. Writes results/diagnostics.csv.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from tables import Table

from sac_lightning import ReplayDataModule, SACModule
from sac_lightning.algorithm.diagnostics import Diagnostics
from sac_lightning.collect.collector import DENSITY_EVERY
from sac_lightning.core.hardware import keep_freed_memory
from sac_lightning.types import PackedMetrics

RESULTS = Path(__file__).parent / "results" / "diagnostics.csv"
ROW = 250  # env steps between two looks


class Clock(pl.Callback):
    """Times the parts of a fit that has just ended, with its own networks and buffer."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.seconds: dict[str, float] = {}

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """In turn, so that a slow moment of the machine slows all alike."""
        replay = trainer.datamodule.experience.replay
        noise = torch.randn(2, 256, pl_module.sac.head.noise_size)
        obs, acting = np.zeros((1, 3), np.float32), torch.randn(1, pl_module.sac.head.noise_size)
        (index,) = trainer.datamodule._iterate().mini_batches()
        policy, diagnostics = pl_module.policy, Diagnostics(pl_module.sac)
        parts: dict[str, Callable[[], object]] = {
            "update": lambda: pl_module.sac.update(replay.gather(index), noise),
            "look": lambda: PackedMetrics.of(
                diagnostics.of(replay.gather(index), noise[1], replay.age()[-1])
            ),
            "action": lambda: policy.sample(obs, noise=acting),
            "action_and_density": lambda: policy.sample_with_log_prob(obs, acting),
        }
        seen: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(self.rounds):
            for name, part in parts.items():
                began = time.perf_counter()
                for _ in range(10):
                    part()
                seen[name].append((time.perf_counter() - began) / 10)
        self.seconds = {name: median(times) for name, times in seen.items()}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    data = ReplayDataModule("Pendulum-v1", total_env_steps=1100, steps_per_epoch=1100, learning_starts=1000)
    clock = Clock(arguments.rounds)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        num_sanity_val_steps=0,
        limit_val_batches=0,
        callbacks=[clock],
        **quiet,
    )
    trainer.fit(SACModule(*data.specs), data)
    times = clock.seconds
    density = (times["action_and_density"] - times["action"]) / DENSITY_EVERY
    step = times["update"] + times["action"] + density + times["look"] / ROW
    numbers = {f"{name}_ms": 1000 * seconds for name, seconds in times.items()}
    numbers["density_percent"] = 100 * density / step
    numbers["looks_percent"] = 100 * times["look"] / ROW / step
    table = Table(arguments.results, ("measure", "value"))
    table.add(
        ({"measure": name, "value": f"{value:.3g}"} for name, value in numbers.items()), lambda row: True
    )
    for name, value in numbers.items():
        print(f"{name:24} {value:8.3g}")


if __name__ == "__main__":
    main()
