"""Stores the blocks of Ray actors, which step their envs ahead of the updates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sac_lightning.algorithm.policy import Policy
from sac_lightning.collect.collector import CollectorState, Episode
from sac_lightning.collect.ray_actors import RayActors, RayOptions
from sac_lightning.collect.ray_worker import Block, networks
from sac_lightning.envs.snapshot.serialize import from_checkpoint, to_checkpoint
from sac_lightning.replay import ReplayBuffer
from sac_lightning.spaces import Array

# Blocks that an actor owes: it steps one while the learner has not yet taken the one before.
AHEAD = 2


@dataclass(eq=False)
class Request:
    """Asks an actor for a block; `block` is None until it is here."""

    actor: int
    number: int
    steps: int
    random: bool
    reference: Any = None
    block: Block | None = None


class RayCollector:
    """Writes to `replay` what the envs of Ray actors did.

    `collect` takes one block, so that env steps and updates keep their ratio to within one block. An actor
    acts with the weights that were published last when it was asked for the block, at most two blocks ahead.
    An actor that dies is replaced: the blocks that it owes are lost and asked of the new one.

    Args:
        envs: the actors.
        replay: where transitions go.
        learning_starts: env steps ≥ 0 with uniformly random actions before the policy acts.
        ray: when weights are published, and in which order blocks are taken.
    """

    def __init__(
        self, envs: RayActors, replay: ReplayBuffer, *, learning_starts: int, ray: RayOptions
    ) -> None:
        self.envs, self.replay = envs, replay
        self.learning_starts = learning_starts
        self.env_steps = self.lost_blocks = 0
        self.discounted_returns: Array = np.zeros(0)  # of the last block
        # Updates since those behind the weights that acted in the last block; None for random actions.
        self.policy_lag: int | None = None
        self._ray = ray
        self._queue: list[Request] = []
        self._asked, self._stored = [0] * envs.count, [0] * envs.count  # blocks of each actor
        self._weights: dict[str, Tensor] = {}
        self._published = 0  # the updates behind these weights
        self._publications = 0
        self._reference: Any = None  # to the weights in Ray's store

    def collect(self, policy: Policy, steps: int) -> list[Episode]:
        """Stores a block: `steps` steps in every env of one actor. Returns the episodes that ended in it."""
        updates = self._ray.updates_due(self.env_steps)
        if not self.envs.has_policy:
            self.envs.take_policy(policy)
        for owed in range(AHEAD):
            for actor in range(self.envs.count):
                if self._asked[actor] - self._stored[actor] <= owed:
                    self._ask_another(actor, steps, policy, updates)
        return self._store(self._next(), updates)

    def _publish(self, policy: Policy, updates: int) -> None:
        if not self._weights or updates - self._published >= self._ray.publish_every:
            state = networks(policy).state_dict()
            self._weights = {name: each.detach().cpu().clone() for name, each in state.items()}
            self._published, self._reference = updates, None
        if self._reference is None:
            arrays = {name: each.numpy() for name, each in self._weights.items()}
            self._reference = self.envs.ray.put(arrays)
            self._publications += 1

    def _ask_another(self, actor: int, steps: int, policy: Policy, updates: int) -> None:
        random = self.env_steps + len(self._queue) * steps * self.envs.num_envs < self.learning_starts
        if not random:  # not earlier: the warm-up makes the first statistics of observations
            self._publish(policy, updates)
        self._queue.append(Request(actor, self._asked[actor], steps, random))
        self._asked[actor] += 1
        self._ask(self._queue[-1])

    def _ask(self, request: Request) -> None:
        weights = self._published, self._publications, self._reference
        what = request.actor, request.number, request.steps, request.random
        request.reference = self.envs.ask(*what, weights)

    def _next(self) -> Block:
        """Returns the next block, and takes its request from the queue."""
        while True:
            request = self._queue[0] if self._ray.deterministic else self._first_done()
            block = self._block(request)
            if block is not None:
                self._queue.remove(request)
                return block

    def _first_done(self) -> Request:
        """Returns a request whose block is here, waiting for one if there is none."""
        here = next((each for each in self._queue if each.block is not None), None)
        if here is None:
            by_reference = {each.reference: each for each in self._queue}
            here = by_reference[self.envs.ray.wait(list(by_reference), num_returns=1)[0][0]]
        # An actor's blocks come in their order, but Ray may show a later one first.
        return next(each for each in self._queue if each.actor == here.actor)

    def _block(self, request: Request) -> Block | None:
        """Returns a block, waiting for it; None where the actor has died and was replaced."""
        if request.block is None:
            request.block = self.envs.block(request.reference)
            if request.block is None:
                self._replace(request.actor)
        return request.block

    def _replace(self, actor: int) -> None:
        owed = [each for each in self._queue if each.actor == actor and each.block is None]
        for each in owed:
            each.block = self.envs.block(each.reference)
        lost = [each for each in owed if each.block is None]
        self.lost_blocks += len(lost)
        self.envs.replace(actor, f"{len(lost)} blocks that it owed are lost, {self.lost_blocks} in this run")
        for each in lost:
            self._ask(each)

    def _store(self, block: Block, updates: int) -> list[Episode]:
        # Nothing twice and nothing left out, whatever Ray does.
        assert block.number == self._stored[block.actor], (block.number, self._stored)
        self._stored[block.actor] += 1
        if block.number and not block.follows:
            self.replay.end_episodes()
        columns, start = [np.array(column) for column in block.rows], 0
        for count in block.counts:  # step by step, as the buffer finds the next step of each env
            self.replay.add(*(column[start : start + count] for column in columns))
            start += count
        self.env_steps += len(block.counts) * self.envs.num_envs
        self.envs.env_steps = self.env_steps
        self.policy_lag = None if block.updates is None else updates - block.updates
        self.discounted_returns = block.discounted_returns
        return block.finished

    def wait(self) -> None:
        """Waits for all blocks that actors owe; the next ones to `collect` store them."""
        while missing := [each for each in self._queue if each.block is None]:
            self._block(missing[0])

    def close(self, wait: bool = True) -> None:
        """Returns: there is no thread."""

    def reopen(self, envs: RayActors) -> None:
        """Continues with `envs`, which replace those that were closed."""
        self.envs, self._weights, self._reference = envs, {}, None

    def restart_episodes(self, seed: int) -> None:
        """Starts a fresh episode in every env; what actors owed is lost."""
        self._queue, self._asked = [], list(self._stored)
        self.envs.reset(seed)

    def state_dict(self) -> CollectorState:
        """Returns counters, weights and the blocks not yet stored as plain data, once these are here."""
        self.wait()
        blocks = [each.block for each in self._queue if each.block is not None]
        plain: list[Any] = [{**each._asdict(), "finished": [[*e] for e in each.finished]} for each in blocks]
        return {
            "env_steps": self.env_steps,
            "stored": list(self._stored),
            "lost_blocks": self.lost_blocks,
            "published": self._published,
            "weights": dict(self._weights),
            "blocks": to_checkpoint(plain),
        }

    def load_state_dict(self, state: CollectorState, device: torch.device, *, envs_restored: bool) -> None:
        """Restores what `state_dict` returned; without `envs_restored` all but the blocks not yet stored."""
        self.envs.check_count(len(state.get("stored", [])))
        self.env_steps, self.lost_blocks = state["env_steps"], state["lost_blocks"]
        self._stored, self._published = list(state["stored"]), state["published"]
        self._weights, self._reference = {name: each.cpu() for name, each in state["weights"].items()}, None
        self._queue = []
        for plain in from_checkpoint(state["blocks"]) if envs_restored else ():
            block = Block(**plain)
            block = block._replace(finished=[Episode(*each) for each in block.finished])
            self._queue.append(Request(block.actor, block.number, len(block.counts), False, block=block))
        self._asked = list(self._stored)
        for each in self._queue:
            self._asked[each.actor] += 1
