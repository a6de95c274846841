"""Stable-Baselines3's SAC with our settings, or that of sbx, the same interface over JAX.

Runs in .venv-bench, which knows nothing of sac_lightning.
"""

import argparse
import os
from typing import Any

import torch
from gate import WARM_UP_UPDATES, Channel, Gate
from gated_env import BATCH, BUFFER, FOREVER, GAMMA, HIDDEN, LR, TAU, adam_steps, one_count, parser
from stable_baselines3.common.callbacks import BaseCallback

PACKAGES = ("stable-baselines3", "torch", "gymnasium", "numpy")
JAX_PACKAGES = ("sbx-rl", "jax", "flax", "optax", *PACKAGES)


class Segments(BaseCallback):
    """Holds the loop between segments. It is called after the env step and before that step's update."""

    def __init__(self, gate: Gate, count: Any) -> None:
        super().__init__()
        self._gate, self._count = gate, count

    def _on_step(self) -> bool:
        if not self._gate.due(self.num_timesteps):
            return True
        order = self._gate.passed(self.num_timesteps, self._count(self.model))
        return order is None or order.what != "quit"


def torch_updates(model: Any) -> int:
    """What the three Adams say."""
    return adam_steps(model.critic.optimizer, model.actor.optimizer, model.ent_coef_optimizer)


def jax_updates(model: Any) -> int:
    """What the three states say, once all that was dispatched is computed: JAX does not wait by itself."""
    import jax

    states = (model.policy.qf_state, model.policy.actor_state, model.ent_coef_state)
    jax.block_until_ready(states)
    return one_count(int(state.step) for state in states)


def main() -> None:
    """Trains until the command to quit."""
    options: argparse.ArgumentParser = parser()
    options.add_argument("--library", choices=["sb3", "sbx"], default="sb3")
    arguments = options.parse_args()
    channel = Channel()
    torch.set_num_threads(arguments.threads)
    if arguments.library == "sbx":
        # The sizes of XLA's thread pools on a CPU; read when JAX starts its backend. No XLA flag sets them.
        os.environ["PJRT_NPROC"] = os.environ["NPROC"] = str(arguments.threads)
        from sbx import SAC

        count, packages = jax_updates, JAX_PACKAGES
    else:
        from stable_baselines3 import SAC

        count, packages = torch_updates, PACKAGES
    model = SAC(
        "MlpPolicy",
        arguments.env,
        learning_rate=LR,
        buffer_size=BUFFER,
        learning_starts=arguments.learning_starts,
        batch_size=BATCH,
        tau=TAU,
        gamma=GAMMA,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": [HIDDEN, HIDDEN]},
        seed=0,
        device="cpu",
    )
    gate = Gate(channel, arguments.learning_starts + WARM_UP_UPDATES, packages)
    model.learn(total_timesteps=FOREVER, callback=Segments(gate, count))


if __name__ == "__main__":
    main()
