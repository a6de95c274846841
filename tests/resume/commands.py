"""Commands as real processes, as in tests/cli."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Fit = Callable[..., None]
ROOT = Path(__file__).parents[2]
TINY = (
    *("debug=fast", "threads=1", "device=cpu", "logger=csv", "eval_episodes=1", "batch_size=16"),
    *("total_env_steps=160", "learning_starts=40", "steps_per_epoch=60", "log_every_n_env_steps=20"),
    *("replay.capacity=100", "callbacks.plots=null"),
)


def start(*arguments: str, cwd: Path, **options: Any) -> "subprocess.Popen[str]":
    """`python train.py …` in `cwd`, with W&B as it is without a key."""
    hidden = ("WANDB_API_KEY", "WANDB_MODE", "HYDRA_FULL_ERROR")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    # One line of a message stays one line.
    env |= {"NETRC": os.devnull, "COLUMNS": "400", **options.pop("env", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    line = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.Popen(line, cwd=cwd, env=env, text=True, **pipes, **options)


def train(*arguments: str, cwd: Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    """The same, to its end."""
    with start(*arguments, cwd=cwd, **options) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
