"""What runs in a Ray actor: a vector env and its Collector, which returns blocks of transitions."""

import sys
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sac_lightning.algorithm.policy import Policy
from sac_lightning.collect.collector import Collector, Episode
from sac_lightning.core.seeding import global_rng_state, restore_global_rng, seed_global_rng
from sac_lightning.envs import EnvConfig
from sac_lightning.envs.snapshot.state import capture, obstacle, restore
from sac_lightning.spaces import Array


class Block(NamedTuple):
    """Holds what some steps of all envs of one actor gave."""

    actor: int
    number: int  # of this actor's blocks
    follows: bool  # whether its episodes continue those of the block before
    updates: int | None  # gradient updates behind the weights that acted; None for random actions
    rows: tuple[Array, ...]  # the arguments of ReplayBuffer.add, [M, ...]
    counts: list[int]  # rows of each step
    finished: list[Episode]
    discounted_returns: Array


class BlockRows:
    """Stands for the replay buffer in an actor: keeps the rows of a block."""

    def __init__(self, gamma: float, first_env: int) -> None:
        self.gamma, self._first_env = gamma, first_env
        self.steps: list[tuple[Array, ...]] = []

    def add(self, *rows: Array) -> None:
        """Keeps the rows of one step, copied: a vector env overwrites its arrays in the next one."""
        *most, env, log_prob = map(np.array, rows)
        self.steps.append((*most, env + np.int16(self._first_env), log_prob))


class EnvWorker:
    """Runs in a Ray actor: a vector env with a Collector."""

    def start(self, actor: int, env: EnvConfig, num_envs: int, gamma: float, **options: Any) -> str | None:
        """Makes the envs. Returns what prevents saving their state."""
        torch.set_num_threads(1)
        self._actor, self._publication = actor, 0
        self._envs: Any = env.build_vector(num_envs)
        self._rows: Any = BlockRows(gamma, actor * num_envs)
        self._options = {**options, "next_step_autoreset": env.autoreset == "next_step"}
        why = obstacle(self._envs)
        return None if why is None else str(why)

    def restart(self, *seed: int) -> None:
        """Starts new episodes and new random streams."""
        env, action, others = (int(each >> 1) for each in np.random.SeedSequence(seed).generate_state(3))
        seed_global_rng(others)
        self._collector = Collector(
            self._envs,
            replay=self._rows,
            env_seed=env,
            action_seed=action,
            learning_starts=0,
            **self._options,
        )
        self._follows = False

    def take_policy(self, policy: Policy) -> None:
        """Takes the policy that gets the weights of `collect`."""
        self._policy, self._publication = policy, 0

    def collect(self, number: int, steps: int, random: bool, weights: tuple[int, int, Any]) -> Block:
        """Takes `steps` steps in every env, with random actions or with weights.

        These are the updates behind them, the number of their publication, and their reference, in a tuple:
        Ray would fetch a bare reference for every block.
        """
        updates, publication, reference = weights
        if not random and publication != self._publication:
            import ray

            state = {name: torch.tensor(array) for name, array in ray.get(reference).items()}
            networks(self._policy).load_state_dict(state)
            self._publication = publication
        self._collector.learning_starts = sys.maxsize if random else 0
        finished = self._collector.collect(self._policy, steps)
        follows, self._follows = self._follows, True
        kept, self._rows.steps = self._rows.steps, []
        rows = tuple(map(np.concatenate, zip(*kept, strict=True)))
        counts, behind = [len(step[0]) for step in kept], None if random else updates
        returns = self._collector.discounted_returns
        return Block(self._actor, number, follows, behind, rows, counts, finished, returns)

    def capture(self) -> dict[str, Any]:
        """Returns the state of envs, collector and random streams, as a checkpoint may contain it."""
        return {
            "collector": self._collector.state_dict(),
            "envs": capture(self._envs),
            "rng": global_rng_state(),
            "follows": self._follows,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `capture` returned."""
        restore(self._envs, state["envs"])
        self._collector.load_state_dict(state["collector"], torch.device("cpu"), envs_restored=True)
        restore_global_rng(state["rng"])
        self._follows = state["follows"]

    def close(self) -> None:
        """Closes the envs."""
        self._envs.close()


def networks(policy: Policy) -> nn.ModuleList:
    """Returns what of a policy changes with updates."""
    return nn.ModuleList(each for each in (policy.actor, policy.normalize_obs) if each is not None)
