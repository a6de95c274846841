"""Stable-Baselines3's SAC or DQN, evaluated as campaign.py does: metrics.csv and versions.txt in a folder.

Runs in .venv-bench, which knows nothing of sac_lightning. DQN's settings are those of rl-zoo3's
hyperparams/dqn.yml; exploration ends after as many env steps as there.
"""

import argparse
import csv
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from gate import versions
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

PACKAGES = ("stable-baselines3", "torch", "gymnasium")
INTERRUPTED = 130
EVALUATION_SEED = 1_000_000
# exploration_steps = exploration_fraction · n_timesteps of rl-zoo3.
_SLOW_DQN = {
    "learning_rate": 6.3e-4,
    "batch_size": 128,
    "buffer_size": 50_000,
    "learning_starts": 0,
    "target_update_interval": 250,
    "train_freq": 4,
    "gradient_steps": -1,
    "exploration_steps": 12_000,
    "exploration_final_eps": 0.1,
    "policy_kwargs": {"net_arch": [256, 256]},
}
ZOO_DQN: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "learning_rate": 2.3e-3,
        "batch_size": 64,
        "buffer_size": 100_000,
        "learning_starts": 1000,
        "target_update_interval": 10,
        "train_freq": 256,
        "gradient_steps": 128,
        "exploration_steps": 8_000,
        "exploration_final_eps": 0.04,
        "policy_kwargs": {"net_arch": [256, 256]},
    },
    "Acrobot-v1": _SLOW_DQN,
    "LunarLander-v3": _SLOW_DQN,
}


class Evaluations(BaseCallback):
    """Evaluates every so many env steps, outside of the measured time."""

    def __init__(self, envs: Any, every: int, episodes: int, out: Path) -> None:
        super().__init__()
        self._envs, self._every, self._episodes, self._out = envs, every, episodes, out
        self._rows: list[list[float]] = []
        self._since = time.perf_counter()

    def _on_step(self) -> bool:
        if self.num_timesteps % self._every:
            return True
        speed = self._every / (time.perf_counter() - self._since)
        self._envs.seed(EVALUATION_SEED)  # the same starts in every evaluation, as in campaign.py
        mean, _ = evaluate_policy(self.model, self._envs, self._episodes, deterministic=True)
        self._rows.append([self.num_timesteps, mean, speed])
        temporary = self._out.with_suffix(".tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([["env_steps", "eval/return_mean", "time/env_steps_per_s"], *self._rows])
        temporary.replace(self._out)  # whoever reads finds whole rows
        self._since = time.perf_counter()
        return True


def main() -> None:
    """Trains to the end, or to a SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--algorithm", choices=["sac", "dqn"], required=True)
    parser.add_argument("--env", required=True)
    parser.add_argument("--out", type=Path, required=True)
    for key in ("seed", "steps", "every", "episodes"):
        parser.add_argument(f"--{key}", type=int, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "versions.txt").write_text(versions(PACKAGES), encoding="utf-8")
    settings = dict(ZOO_DQN[arguments.env]) if arguments.algorithm == "dqn" else {}
    if settings:
        settings["exploration_fraction"] = settings.pop("exploration_steps") / arguments.steps
    algorithm: Any = DQN if arguments.algorithm == "dqn" else SAC
    model = algorithm("MlpPolicy", arguments.env, seed=arguments.seed, device="cpu", **settings)

    def env() -> Any:
        import gymnasium

        return gymnasium.make(arguments.env)

    envs = VecMonitor(DummyVecEnv([env] * arguments.episodes))
    metrics = arguments.out / "metrics.csv"
    evaluations = Evaluations(envs, arguments.every, arguments.episodes, metrics)
    model.learn(total_timesteps=arguments.steps, callback=evaluations)


if __name__ == "__main__":
    main()
