"""A tuned experiment as a user runs it, then 100 episodes with the mode."""

import subprocess
import sys
from pathlib import Path

from sac_lightning import EnvConfig, SACModule
from sac_lightning.collect.evaluation import Evaluator

ROOT = Path(__file__).parents[2]
EPISODES = range(10_000, 10_100)
HOW = ("logger=csv", "threads=1", "compile=true")


def trained(folder: Path, *arguments: str) -> SACModule:
    """What `python train.py ARGUMENTS` leaves in `folder`."""
    command = [sys.executable, str(ROOT / "train.py"), *arguments, *HOW, f"hydra.run.dir={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return SACModule.load_from_checkpoint(folder / "checkpoints" / "last.ckpt")


def return_mean(env_id: str, module: SACModule) -> float:
    """Mean return of the mode over 100 episodes of fixed seeds."""
    evaluator = Evaluator(EnvConfig(id=env_id).build, EPISODES, num_envs=50)
    try:
        return evaluator.run(module.policy).return_mean
    finally:
        evaluator.close()
