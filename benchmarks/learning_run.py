"""One run of train.py in a process of its own, and what its checkpoints are worth."""

import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from learning_cases import SEEDS, Run

from sac_lightning import SACModule
from sac_lightning.collect.evaluation import Evaluator
from sac_lightning.envs import EnvConfig
from sac_lightning.training.loggers import read_metrics

ROOT = Path(__file__).resolve().parents[1]
# How a benchmark runs, none of which changes what is learned.
HOW = ("logger=csv", "threads=1", "compile=false")


@dataclass(frozen=True)
class Score:
    """The return of the mode over all evaluation episodes of one checkpoint."""

    env_steps: int
    episodes: int
    return_mean: float
    return_std: float
    seconds: float  # from the start of the run to the checkpoint


@dataclass(frozen=True)
class Curve:
    """What the run's own evaluations said, by env steps."""

    env_steps: tuple[int, ...]
    returns: tuple[float, ...]
    alpha: tuple[float, ...]


def command(run: Run) -> str:
    """What a user types for this run."""
    return " ".join(["python train.py", *run.arguments, *how(run)])


def how(run: Run) -> tuple[str, ...]:
    """`HOW`, less what the run says otherwise."""
    own = {argument.partition("=")[0] for argument in run.how}
    return (*(argument for argument in HOW if argument.partition("=")[0] not in own), *run.how)


def train(run: Run, folder: Path) -> None:
    """Train into `folder`, afresh. Raises RuntimeError with the last lines of what was printed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arguments = [*run.arguments, *how(run), f"hydra.run.dir={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"exit status {done.returncode}\n" + "\n".join(done.stdout.splitlines()[-15:]))


def score(folder: Path) -> Score:
    """Evaluates the end of the run."""
    checkpoint = folder / "checkpoints" / "last.ckpt"
    module = SACModule.load_from_checkpoint(checkpoint)
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    env = EnvConfig(id=config["env"]["id"], kwargs=config["env"]["kwargs"])
    evaluator = Evaluator(env.build, SEEDS, num_envs=len(SEEDS))
    try:
        evaluation = evaluator.run(module.policy)
    finally:
        evaluator.close()
    began = (folder / "config.yaml").stat().st_mtime
    return Score(
        int(module.env_steps),
        len(SEEDS),
        evaluation.return_mean,
        evaluation.return_std,
        checkpoint.stat().st_mtime - began,
    )


def curve(folder: Path) -> Curve:
    """The evaluations in the run's metrics.csv, with α as it was then."""
    metrics = read_metrics(folder / "metrics.csv")
    evaluated = np.isfinite(metrics["eval/return_mean"])
    return Curve(
        tuple(int(step) for step in metrics["env_steps"][evaluated]),
        tuple(metrics["eval/return_mean"][evaluated].tolist()),
        tuple(metrics["train/alpha"][evaluated].tolist()),
    )


def final_alpha(folder: Path) -> float:
    """The last α that was logged."""
    alpha = read_metrics(folder / "metrics.csv")["train/alpha"]
    known = alpha[np.isfinite(alpha)]
    return float(known[-1]) if known.size else math.nan
