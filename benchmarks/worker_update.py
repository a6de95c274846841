"""sac_lightning's compiled update and nothing else: random transitions of the env's sizes, made once.

Beside the matrix products of the same round it tells how near to them the update comes by itself.
"""

import argparse
import itertools
import time

import gymnasium as gym
import torch
from gate import WARM_UP_UPDATES, Channel, versions
from sac_lightning.update import Parts, Update

from sac_lightning import SACModule
from sac_lightning.envs import action_spec, obs_spec
from sac_lightning.hardware import keep_freed_memory
from sac_lightning.types import Batch, Sample

PACKAGES = ("sac-lightning", "torch", "numpy")
BATCH, BATCHES = 256, 32


def update_of(module: SACModule, autocast: bool) -> Update:
    """The update as a fit builds it."""
    owned = (
        (module.critic_config, module.critic.parameters()),
        (module.actor_config, module.actor.parameters()),
        (module.temperature, [module.log_alpha]),
    )
    optimizers = [config.optimizer(parameters) for config, parameters in owned]
    return Update(Parts.of(module), optimizers, compiled=True, autocast=autocast)


def random_samples(module: SACModule) -> Sample:
    """`[BATCHES, BATCH]` transitions; a few of them end an episode."""
    rows = BATCHES * BATCH
    obs, next_obs = (torch.randn(rows, *module.obs_spec.shape) for _ in range(2))
    action = torch.rand(rows, module.action_spec.size) * 2 - 1
    buffer = Batch(obs, action, torch.randn(rows), next_obs, torch.rand(rows) < 0.01)
    return Sample(buffer, torch.randint(rows, (BATCHES, BATCH)))


def main() -> None:
    """Update when told to; an env step counts as one update."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    channel = Channel()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with gym.make(arguments.env) as env:
        module = SACModule(obs_spec(env.observation_space), action_spec(env.action_space))
    update = update_of(module, arguments.bf16)
    samples = random_samples(module).mini_batches()
    noise = torch.randn(BATCHES, 2, BATCH, module.head.noise_size)
    turns = itertools.cycle(range(BATCHES))

    def run(updates: int) -> float:
        began = time.perf_counter()
        for g in itertools.islice(turns, updates):
            update(samples[g], noise[g])
        return time.perf_counter() - began

    run(WARM_UP_UPDATES)
    channel.answer(versions=versions(PACKAGES))
    while (order := channel.next_order()).what != "quit":
        seconds = run(order.env_steps)
        channel.answer(env_steps=order.env_steps, updates=order.env_steps, seconds=seconds)


if __name__ == "__main__":
    main()
