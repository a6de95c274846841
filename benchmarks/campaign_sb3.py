"""Runs of Stable-Baselines3 or sbx, evaluated as campaign.py does: metrics.csv and versions.txt in a folder.

Runs in .venv-bench, which knows nothing of sac_lightning. DQN's settings are those of rl-zoo3's
hyperparams/dqn.yml, and on MinAtar, which is not there, those of MinAtar's authors (1903.03176 and their
examples/dqn.py), their small network included. Exploration ends after as many env steps as there.
"""

import argparse
import csv
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import minatar.gym
import torch
from gate import versions
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from torch import nn

PACKAGES = {
    "sb3": ("stable-baselines3", "torch", "gymnasium"),
    "sbx": ("sbx-rl", "jax", "flax", "stable-baselines3", "gymnasium"),
}
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


class MinAtarNetwork(BaseFeaturesExtractor):
    """Computes 128 features of 10 x 10 bits in several channels: one convolution and one linear layer."""

    def __init__(self, space: Any) -> None:
        super().__init__(space, features_dim=128)
        channels = space.shape[-1]
        convolution = nn.Conv2d(channels, 16, kernel_size=3)
        self.layers = nn.Sequential(
            convolution, nn.ReLU(), nn.Flatten(), nn.Linear(16 * 8 * 8, 128), nn.ReLU()
        )

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the features, (batch, 128), of observations, (batch, 10, 10, channels)."""
        return self.layers(obs.permute(0, 3, 1, 2))


MINATAR_DQN: dict[str, Any] = {
    "learning_rate": 2.5e-4,
    "batch_size": 32,
    "buffer_size": 100_000,
    "learning_starts": 5_000,
    "target_update_interval": 1_000,
    "train_freq": 1,
    "gradient_steps": 1,
    "exploration_steps": 100_000,
    "exploration_final_eps": 0.1,
    "policy_kwargs": {
        "features_extractor_class": MinAtarNetwork,
        "net_arch": [],
        "optimizer_class": torch.optim.RMSprop,
        "optimizer_kwargs": {"alpha": 0.95, "centered": True, "eps": 0.01},
    },
}
MINATAR_EVALUATION_STEPS = 10_000  # at most, for each episode


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


def algorithm_of(library: str, name: str) -> Any:
    """Returns a class of one of the two libraries."""
    if library == "sb3":
        return {"sac": SAC, "dqn": DQN}[name]
    # The sizes of XLA's thread pools on a CPU; read when JAX starts its backend. No XLA flag sets them.
    os.environ["PJRT_NPROC"] = os.environ["NPROC"] = "1"
    import sbx

    return {"sac": sbx.SAC, "crossq": sbx.CrossQ, "tqc": sbx.TQC}[name]


def main() -> None:
    """Trains to the end, or to a SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--library", choices=list(PACKAGES), default="sb3")
    parser.add_argument("--algorithm", choices=["sac", "dqn", "crossq", "tqc"], required=True)
    parser.add_argument("--policy", default="MlpPolicy")
    parser.add_argument("--env", required=True)
    parser.add_argument("--out", type=Path, required=True)
    for key in ("seed", "steps", "every", "episodes"):
        parser.add_argument(f"--{key}", type=int, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "versions.txt").write_text(versions(PACKAGES[arguments.library]), encoding="utf-8")
    limit = None
    if arguments.env.startswith("MinAtar/"):
        minatar.gym.register_envs()
        limit = MINATAR_EVALUATION_STEPS
    settings = dict(ZOO_DQN.get(arguments.env, MINATAR_DQN)) if arguments.algorithm == "dqn" else {}
    if settings:
        settings["exploration_fraction"] = settings.pop("exploration_steps") / arguments.steps
    algorithm = algorithm_of(arguments.library, arguments.algorithm)
    model = algorithm(arguments.policy, arguments.env, seed=arguments.seed, device="cpu", **settings)

    def env() -> Any:
        return gymnasium.make(arguments.env, max_episode_steps=limit)

    envs = VecMonitor(DummyVecEnv([env] * arguments.episodes))
    metrics = arguments.out / "metrics.csv"
    evaluations = Evaluations(envs, arguments.every, arguments.episodes, metrics)
    model.learn(total_timesteps=arguments.steps, callback=evaluations)


if __name__ == "__main__":
    main()
