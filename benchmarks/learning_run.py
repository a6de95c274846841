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
STEPS_PER_EPOCH = 1_000
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
    arguments = [*run.arguments, *how(run), f"hydra.run.dir={folder}", *_stages(run)]
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


def _stages(run: Run) -> list[str]:
    """A second checkpoint callback, given on the command line as any user may; it changes no weight."""
    if run.stage is None:
        return []
    if run.stage % STEPS_PER_EPOCH:
        raise ValueError(f"stage={run.stage} is no multiple of steps_per_epoch={STEPS_PER_EPOCH}")
    callback = (
        "{_target_:pytorch_lightning.callbacks.ModelCheckpoint,"
        'dirpath:"${paths.run_dir}/checkpoints",filename:"stage_{epoch}",auto_insert_metric_name:false,'
        f"save_top_k:-1,every_n_epochs:{run.stage // STEPS_PER_EPOCH},save_on_train_epoch_end:true}}"
    )
    return [f"+callbacks.stages={callback}"]


def scores(run: Run, folder: Path) -> list[Score]:
    """The stage, if there is one, and the end of the run."""
    checkpoints = folder / "checkpoints"
    names = [] if run.stage is None else [f"stage_{run.stage // STEPS_PER_EPOCH - 1}.ckpt"]
    return [_score(folder, checkpoints / name) for name in (*names, "last.ckpt")]


def _score(folder: Path, checkpoint: Path) -> Score:
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
