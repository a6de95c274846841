"""Memory that a run needs beyond its replay buffer: it must not grow.

    python benchmarks/memory.py                            50,000 env steps with the default networks
    python benchmarks/memory.py --small --env-steps 2500   seconds, for a test
    python benchmarks/memory.py --small --compile --env-steps 100500    the same for 100,000 compiled updates
    python benchmarks/memory.py --peak                     peak memory of an eager and a compiled run

The bound of the growth is 30 MB beyond the buffer's own rows after a warm-up.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytorch_lightning as pl
import torch

from sac_lightning import ReplayDataModule, SACModule
from sac_lightning.core.hardware import keep_freed_memory
from sac_lightning.networks import ActorConfig, CriticConfig
from sac_lightning.training.callbacks import LastCheckpoint
from sac_lightning.training.loggers import MetricsCSV

ROOT = Path(__file__).resolve().parents[1]
MB = 1e6
BOUND_MB = 30.0
FULL_ENV_STEPS = 50_000
STEPS_PER_EPOCH = 500
MEASURED_TIMES = 20


@dataclass(frozen=True)
class Size:
    """How large networks and mini-batches are."""

    hidden: int
    batch_size: int


FULL, SMALL = Size(256, 256), Size(16, 32)


class Watch(pl.Callback):
    """The process's resident memory less the rows of the buffer, at times that are evenly spread."""

    def __init__(self, every: int) -> None:
        self._every = every
        self.beyond_buffer: dict[int, float] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Measure where it is due."""
        data: Any = trainer.datamodule
        if data.env_steps // self._every > len(self.beyond_buffer):
            gc.collect()
            resident = psutil.Process().memory_info().rss
            self.beyond_buffer[data.env_steps] = (resident - _filled_bytes(data.experience.replay)) / MB


def _filled_bytes(replay: Any) -> int:
    """Zeros that nobody wrote to take no memory, so only the rows in use count."""
    rows = sum(field[0].numel() * field.element_size() for field in replay.store)
    return int(len(replay) * rows)


def grow(env_steps: int, size: Size, compiled: bool = False) -> dict[int, float]:
    """Megabytes beyond the buffer by env steps, of one run on Pendulum."""
    data = ReplayDataModule(
        "Pendulum-v1",
        total_env_steps=env_steps,
        steps_per_epoch=STEPS_PER_EPOCH,
        learning_starts=STEPS_PER_EPOCH,
        batch_size=size.batch_size,
        eval_episodes=1,
    )
    hidden = (size.hidden, size.hidden)
    obs, action = data.specs
    actor, critic = ActorConfig(hidden_sizes=hidden), CriticConfig(hidden_sizes=hidden)
    module = SACModule(obs, action, actor=actor, critic=critic, compile=compiled)
    keep_freed_memory()
    watch = Watch(max(env_steps // MEASURED_TIMES, 1))
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=data.max_epochs,
            reload_dataloaders_every_n_epochs=1,
            accelerator="cpu",
            logger=MetricsCSV(Path(folder) / "metrics.csv"),
            callbacks=[LastCheckpoint(Path(folder) / "checkpoints"), watch],
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module, data)
    return watch.beyond_buffer


def growth(beyond_buffer: dict[int, float], env_steps: int) -> float:
    """Megabytes from the end of the warm-up to the most there was later."""
    warm_up = max(env_steps // 5, 2 * STEPS_PER_EPOCH)
    after = {step: used for step, used in beyond_buffer.items() if step >= warm_up}
    return max(after.values()) - after[min(after)]


def peak(compiled: bool) -> float:
    """Returns the peak megabytes of a run with the default networks, without a cached graph."""
    options = [
        "env=gym",
        "env.id=Pendulum-v1",
        "learning_starts=100",
        "total_env_steps=300",
        "eval_episodes=1",
        f"compile={compiled}".lower(),
        "logger=csv",
    ]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/cache"}
        line = [sys.executable, str(ROOT / "train.py"), *options, f"hydra.run.dir={folder}/run"]
        process = subprocess.Popen(
            line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode}: {' '.join(line)}")
    return used.ru_maxrss * 1024 / MB


def peaks() -> dict[str, float]:
    """Both modes, and their ratio."""
    eager, compiled = peak(False), peak(True)
    return {"eager_mb": eager, "compiled_mb": compiled, "ratio": compiled / eager}


def main() -> int:
    """Prints the growth, or the peaks; returns 1 if the growth is beyond the bound."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--env-steps", type=int, default=FULL_ENV_STEPS)
    parser.add_argument("--small", action="store_true", help="networks of 16, mini-batches of 32")
    parser.add_argument("--compile", action="store_true", help="measure the compiled update")
    parser.add_argument("--peak", action="store_true", help="compare peak memory, eager and compiled")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--bound-mb", type=float, default=BOUND_MB)
    arguments = parser.parse_args()
    if arguments.peak:
        print(json.dumps(peaks()))
        return 0
    torch.set_num_threads(arguments.threads)
    beyond = grow(arguments.env_steps, SMALL if arguments.small else FULL, arguments.compile)
    grown = growth(beyond, arguments.env_steps)
    print(json.dumps({"growth_mb": grown, "bound_mb": arguments.bound_mb, "beyond_buffer_mb": beyond}))
    return int(grown > arguments.bound_mb)


if __name__ == "__main__":
    sys.exit(main())
