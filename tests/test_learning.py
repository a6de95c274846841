"""The tuned experiments learn what they promise: the real command, then 100 episodes with the mode.

benchmarks/learning.py measures all seeds; here it is one seed each, to the same bounds.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from sac_lightning import EnvConfig, SACModule
from sac_lightning.evaluation import Evaluator

ROOT = Path(__file__).parents[1]
EPISODES = range(10_000, 10_100)


def trained(folder: Path, *arguments: str) -> SACModule:
    command = [sys.executable, str(ROOT / "train.py"), *arguments, "logger=csv", "threads=1", "compile=false"]
    done = subprocess.run([*command, f"hydra.run.dir={folder}"], capture_output=True, text=True, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return SACModule.load_from_checkpoint(folder / "checkpoints" / "last.ckpt")


def return_mean(env_id: str, module: SACModule) -> float:
    evaluator = Evaluator(EnvConfig(id=env_id).build, EPISODES, side_by_side=50)
    try:
        return evaluator.run(module.policy).return_mean
    finally:
        evaluator.close()


@pytest.mark.timeout(900)
def test_pendulum_is_solved_in_5000_env_steps(tmp_path: Path) -> None:
    module = trained(tmp_path / "run", "experiment=pendulum_fast", "seed=0")
    assert return_mean("Pendulum-v1", module) > -200.0


@pytest.mark.timeout(900)
def test_cartpole_stands_for_195_steps_after_10000_env_steps(tmp_path: Path) -> None:
    module = trained(tmp_path / "run", "experiment=cartpole", "seed=0", "total_env_steps=10000")
    assert return_mean("CartPole-v1", module) >= 195.0
