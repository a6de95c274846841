"""Starts, replaces and ends the Ray actors that step the envs of a run, on this machine or on others."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sac_lightning.algorithm.policy import Policy
from sac_lightning.collect.ray_worker import Block, EnvWorker
from sac_lightning.core.errors import ConfigError, install, one_line, require
from sac_lightning.envs import EnvConfig
from sac_lightning.envs.guard import EnvError
from sac_lightning.envs.torch_vector import MOST_ENVS

log = logging.getLogger(__name__)
START_S, CLOSE_S, ANSWER_S = 300.0, 10.0, 10.0
MOST_DEATHS = 3  # of one actor without a block between them


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Says how many Ray actors step the envs, where, and how the run takes what they did.

    Args:
        actors: how many; each takes one CPU of the cluster. 0 for none.
        address: HOST:PORT of a running cluster; None for one that is started on this machine.
        publish_every: gradient updates between two times that new weights are published, at least 1.
        deterministic: whether blocks are taken in the order in which they were asked for, else as they come.
        updates_due: returns how many gradient updates a run has made after so many env steps.
    """

    actors: int
    address: str | None
    publish_every: int
    deterministic: bool
    updates_due: Callable[[int], int]

    def check(self, env: EnvConfig, num_envs: int, overlap: bool) -> None:
        """Raises ConfigError for what has no meaning, or no room, with actors."""
        host, _, port = str(self.address).rpartition(":")
        ok = self.address is None or (self.actors > 0 and bool(host) and port.isdigit())
        allowed = "must be HOST:PORT of a running Ray cluster, with collector=ray, or null"
        require(ok, "address", self.address, allowed)
        if not self.actors:
            return
        allowed = "must be false with collector=ray, whose actors step beside the updates"
        require(not overlap, "overlap", overlap, allowed)
        allowed = "must be sync with collector=ray: each actor is a process already"
        require(env.vectorization == "sync", "env.vectorization", env.vectorization, allowed)
        allowed = f"must be at most {MOST_ENVS} / actors"
        require(num_envs * self.actors <= MOST_ENVS, "num_envs", num_envs, allowed)
        allowed = f"must be 0: Ray is not installed; {install('ray')}"
        require(find_spec("ray") is not None, "actors", self.actors, allowed)


class RayActors:
    """Owns the envs of a run: a vector env in each of some Ray actors.

    A program that has called `ray.init` keeps its cluster. Otherwise this starts one on this machine, or
    joins the one at `address`, until `close`. Raises ConfigError where that fails, or where an actor cannot
    make its envs.

    Args:
        env: which env.
        ray: how many actors, and where.
        num_envs: envs of each actor, at least 1.
        seed: of envs and actions.
        options: gamma; action and noise_hold_max, as for Collector.
    """

    def __init__(self, env: EnvConfig, ray: RayOptions, num_envs: int, *, seed: int, **options: Any) -> None:
        self.name, self.num_envs, self.count, self.env_steps = env.id, num_envs, ray.actors, 0
        self._seed, self._arguments, self._options = seed, (env, num_envs), options
        actors, self._leaves = ray.actors, _connect(ray.address, ray.actors)
        self.ray: Any = import_module("ray")
        self._died = deaths()
        failed: tuple[type[Exception], ...] = (EnvError, *self._died)
        self._remote: Any = self.ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(EnvWorker)
        self._lives, self._deaths = [0] * actors, [0] * actors
        self._policy: Any = None
        self._open, self.why_died = True, ""
        self._workers: list[Any] = []
        try:
            cpus = int(self.ray.cluster_resources().get("CPU", 0))
            allowed = f"must be at most {cpus}, the CPUs of the Ray cluster"
            require(actors <= cpus, "collector.actors", actors, allowed)
            self._workers = [self._remote.remote() for _ in range(actors)]
            starts = [self._start(actor) for actor in range(actors)]  # side by side
            self._obstacle = [self._started(*each) for each in enumerate(starts)].pop()
            self.reset(seed)
        except failed as error:
            self.abandon()
            raise ConfigError("collector.actors", actors, one_line(error)) from None
        except BaseException:
            self.abandon()
            raise

    @property
    def has_policy(self) -> bool:
        """Whether the actors have a policy."""
        return self._policy is not None

    def take_policy(self, policy: Policy) -> None:
        """Gives every actor a copy of the policy, on its CPU."""
        normalize = None if policy.normalize_obs is None else deepcopy(policy.normalize_obs).cpu()
        copied = replace(policy, actor=deepcopy(policy.actor).cpu(), normalize_obs=normalize)
        self._policy = self.ray.put(copied)
        for worker in self._workers:
            worker.take_policy.remote(self._policy)

    def ask(self, actor: int, *arguments: Any) -> Any:
        """Asks an actor for a block: see `EnvWorker.collect`. Returns Ray's reference."""
        return self._workers[actor].collect.remote(*arguments)

    def block(self, reference: Any) -> Block | None:
        """Returns a block as soon as it is there; None where its actor has died. Raises EnvError."""
        block: Block | None = self._unless_died(reference)
        if block is not None:
            self._deaths[block.actor] = 0
        return block

    def replace(self, actor: int, lost: str) -> None:
        """Starts another actor in place of a dead one; `lost` says in the warning what it owed.

        Raises EnvError where they die again and again, or where the env fails.
        """
        while True:
            self._lives[actor] += 1
            self._deaths[actor] += 1
            if (times := self._deaths[actor]) > MOST_DEATHS:
                raise EnvError(f"{self.name}: actor {actor} died {times} times in a row: {self.why_died}")
            log.warning("actor %d has died and is replaced: %s (%s)", actor, lost, self.why_died)
            self.ray.kill(self._workers[actor])  # one that was only out of reach must not come back
            worker = self._workers[actor] = self._remote.remote()
            try:
                self._started(actor, self._start(actor))
                self._result(worker.restart.remote(self._seed, actor, self._lives[actor]))
                if self.has_policy:
                    self._result(worker.take_policy.remote(self._policy))
                return
            except self._died as error:
                self.why_died, lost = one_line(error)[-200:], "it owed nothing yet"

    def reset(self, seed: int) -> None:
        """Starts new episodes and new random streams in every actor."""
        self._seed = seed
        for restarted in [each.restart.remote(seed, actor, 0) for actor, each in enumerate(self._workers)]:
            self._result(restarted)

    def obstacle(self) -> str | None:
        """Returns what prevents saving the state of the envs."""
        return self._obstacle

    def capture(self) -> dict[str, Any]:
        """Returns the states of all actors, none of which owes a block."""
        asked = [worker.capture.remote() for worker in self._workers]
        states = []
        for actor in range(self.count):
            while (state := self._unless_died(asked[actor])) is None:
                self.replace(actor, "it owed nothing")
                asked[actor] = self._workers[actor].capture.remote()
            states.append({**state, "life": self._lives[actor]})
        return {"actors": states}

    def restore(self, state: dict[str, Any]) -> None:
        """Makes all actors continue from what `capture` returned."""
        states = state.get("actors", [])  # a state of collector=sync has none
        self.check_count(len(states))
        self._lives = [each["life"] for each in states]
        for restored in [each.restore.remote(own) for each, own in zip(self._workers, states, strict=True)]:
            self._result(restored)

    def check_count(self, saved: int) -> None:
        """Raises EnvError where a state is of another number of actors."""
        if saved != self.count:
            raise EnvError(f"{self.name}: the state is of actors={saved}; this run has actors={self.count}")

    def close(self) -> None:
        """Closes the envs, and ends the actors and the cluster that this started or joined."""
        if self._open:
            closing = [worker.close.remote() for worker in self._workers]
            with suppress(Exception):
                self.ray.wait(closing, num_returns=len(closing), timeout=CLOSE_S)
        self.abandon()

    def abandon(self) -> None:
        """Ends the actors at once."""
        if self._open:
            self._open = False
            for worker in self._workers:
                with suppress(Exception):
                    self.ray.kill(worker)
            if self._leaves:
                self.ray.shutdown()

    def _start(self, actor: int) -> Any:
        try:
            return self._workers[actor].start.remote(actor, *self._arguments, **self._options)
        except (TypeError, AttributeError, ValueError) as error:  # what pickle raises
            raise EnvError(f"{self.name} cannot be sent to an actor: {one_line(error)[:200]}") from None

    def _started(self, actor: int, start: Any) -> str | None:
        """Returns what `EnvWorker.start` does. Raises EnvError, or the ConfigError of an env."""
        if not self.ray.wait([start], timeout=START_S)[0]:
            raise EnvError(f"actor {actor} did not start within {START_S:.0f} s: too few CPUs are free")
        try:
            why: str | None = self._result(start)
        except EnvError as error:
            raise EnvError(f"actor {actor} could not start: {one_line(error)}") from None
        return why

    def _unless_died(self, reference: Any) -> Any:
        """Returns what an actor returned, or None where it has died."""
        try:
            return self._result(reference)
        except self._died as error:
            self.why_died = one_line(error)[-200:]
            return None

    def _result(self, reference: Any) -> Any:
        """Returns what an actor returned, or raises what it raised."""
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None


def deaths() -> tuple[type[Exception], ...]:
    """Returns what Ray raises where an actor has died, also by the memory monitor or with its machine."""
    errors: Any = import_module("ray.exceptions")
    return errors.RayActorError, errors.ObjectLostError, errors.OutOfMemoryError, errors.NodeDiedError


def _connect(address: str | None, actors: int) -> bool:
    """Starts a Ray cluster or joins one, unless the process is in one. Returns whether it was not."""
    if address is not None:
        # What answers there may be no cluster: Ray would try for many minutes. It reads these when imported.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
        os.environ.setdefault("RAY_py_gcs_connect_timeout_s", "5")
    import ray

    if ray.is_initialized():
        return False
    before = signal.getsignal(signal.SIGTERM)  # Ray takes the signal that asks for a checkpoint
    options: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    try:
        if address is None:
            # Ray would give way to all other processes of the machine, and the updates wait for the actors.
            os.environ.setdefault("RAY_worker_niceness", "0")
            ray.init("local", num_cpus=actors, include_dashboard=False, **options)
        else:
            host, _, port = address.rpartition(":")
            # Ray itself would wait for longer.
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
            ray.init(address, **options)
    except Exception as error:
        raise ConfigError("collector.address", address, f"no Ray cluster: {one_line(error)[:300]}") from None
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
    return True
