"""Stable-Baselines3's SAC with our settings. Runs in .venv-bench, which knows nothing of sac_lightning."""

import argparse

import torch
from gate import WARM_UP_UPDATES, Channel, Gate
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

PACKAGES = ("stable-baselines3", "torch", "gymnasium", "numpy")


class Segments(BaseCallback):
    """Holds the loop between segments. It is called after the env step and before that step's update."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def _on_step(self) -> bool:
        order = self._gate.passed(self.num_timesteps, self.model._n_updates)
        return order is None or order.what != "quit"


def main() -> None:
    """Train until told to quit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", required=True)
    parser.add_argument("--learning-starts", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    channel = Channel()
    torch.set_num_threads(arguments.threads)
    model = SAC(
        "MlpPolicy",
        arguments.env,
        learning_rate=3e-4,
        buffer_size=100_000,
        learning_starts=arguments.learning_starts,
        batch_size=256,
        tau=0.005,
        gamma=0.99,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": [256, 256]},
        seed=0,
        device="cpu",
    )
    gate = Gate(channel, arguments.learning_starts + WARM_UP_UPDATES, PACKAGES)
    model.learn(total_timesteps=10_000_000, callback=Segments(gate))


if __name__ == "__main__":
    main()
