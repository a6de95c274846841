"""sac_lightning's compiled update and nothing else: random transitions of the env's sizes, made once.

Compared with the matrix products of the same round it shows how close the update alone comes to them.
"""

import argparse
import itertools
import time

import gymnasium as gym
import torch
from gate import WARM_UP_UPDATES, Channel, versions

from sac_lightning import SACModule
from sac_lightning.compile.update import CompiledUpdate
from sac_lightning.core.hardware import keep_freed_memory
from sac_lightning.envs import action_spec, obs_spec
from sac_lightning.optim import OptimizerStep
from sac_lightning.replay import BatchIndex, ReplayBuffer

PACKAGES = ("sac-lightning", "torch", "numpy")
BATCH, BATCHES = 256, 32


def update_of(module: SACModule, replay: ReplayBuffer, *, bfloat16: bool = False) -> CompiledUpdate:
    """The update as a fit builds it."""
    owned = (
        (module.critic_config, module.sac.critic.parameters()),
        (module.actor_config, module.sac.actor.parameters()),
        (module.sac.temperature, [module.sac.log_alpha]),
    )
    steps = [
        OptimizerStep(config.optimizer, config.optimizer.build(weights, config.lr))
        for config, weights in owned
    ]
    module.sac.prepare(steps, bfloat16=bfloat16)
    return CompiledUpdate(module.sac, replay)


def random_replay(module: SACModule) -> ReplayBuffer:
    """A full buffer of random transitions, of which a few end an episode."""
    rows = BATCHES * BATCH
    replay = ReplayBuffer.of(rows, module.obs_spec, module.action_spec)
    obs, next_obs = (torch.randn(rows, *module.obs_spec.shape).numpy() for _ in range(2))
    action = torch.rand(rows, module.action_spec.size).numpy() * 2 - 1
    replay.add(obs, action, torch.randn(rows).numpy(), next_obs, torch.rand(rows).numpy() < 0.01)
    return replay


def mini_batches(replay: ReplayBuffer) -> list[BatchIndex]:
    """`BATCHES` mini-batches of `BATCH` transitions."""
    return [BatchIndex(*each) for each in zip(*map(torch.unbind, replay.draw(BATCHES, BATCH)), strict=True)]


def main() -> None:
    """Updates on command; an env step counts as one update."""
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
    replay = random_replay(module)
    update, batches = update_of(module, replay, bfloat16=arguments.bf16), mini_batches(replay)
    noise = torch.randn(BATCHES, 2, BATCH, module.sac.head.noise_size)
    order_of_batches = itertools.cycle(range(BATCHES))

    def run(updates: int) -> float:
        began = time.perf_counter()
        for g in itertools.islice(order_of_batches, updates):
            update(batches[g], noise[g])
        return time.perf_counter() - began

    run(WARM_UP_UPDATES)
    channel.answer(versions=versions(PACKAGES))
    while (order := channel.next_order()).what != "quit":
        seconds = run(order.env_steps)
        channel.answer(env_steps=order.env_steps, updates=order.env_steps, seconds=seconds)


if __name__ == "__main__":
    main()
