"""Many envs behind one `step`: in this process, or in one worker process each."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv

from sac_lightning.envs.guard import LOST_WORKER, CheckedVectorEnv, Env, EnvError, GuardEnv, make_named
from sac_lightning.envs.snapshot.layers import ResumableEnv
from sac_lightning.private.gymnasium import sync_vector_env

AUTORESET = {"same_step": AutoresetMode.SAME_STEP, "next_step": AutoresetMode.NEXT_STEP}
VECTORIZATION = ("sync", "async", "torch")
LONGEST_REASON = 1000  # bytes


def vector_env(
    make: Callable[[], Env], name: str, num_envs: int, vectorization: str, autoreset: str
) -> CheckedVectorEnv:
    """Returns `num_envs` envs of `make` as one; observations are copies, so they may be kept.

    Raises EnvError, which says why, when one of them cannot be made.
    """
    failure: Any = multiprocessing.Array("c", LONGEST_REASON) if vectorization == "async" else None
    names = [f"{name} (env {index})" for index in range(num_envs)] if num_envs > 1 else [name]
    factories = [EnvFactory(make, each, failure) for each in names]
    mode = AUTORESET[autoreset]
    envs: VectorEnv[Any, Any, Any]
    if vectorization == "async":
        try:
            envs = AsyncVectorEnv(factories, copy=True, daemon=True, autoreset_mode=mode)
        except LOST_WORKER as error:
            reason = failure.value.decode(errors="replace")
            raise EnvError(reason or f"{name}: a worker process could not make its env") from error
    else:
        envs = sync_vector_env(factories, mode)
    return CheckedVectorEnv(envs, name)


@dataclass(frozen=True)
class EnvFactory:
    """Makes one env of a vector env; knows whether it runs in a worker process."""

    make: Callable[[], Env]
    name: str
    failure: Any = None  # shared memory for the reason why a worker could not make its env
    owner: int = field(default_factory=os.getpid)

    def __call__(self) -> Env:
        in_worker = os.getpid() != self.owner
        if in_worker:
            prepare_worker()
        try:
            env = make_named(self.make, self.name)
        except EnvError as error:
            if in_worker and self.failure is not None:
                self.failure.value = str(error).encode()[:LONGEST_REASON]
            raise
        return ResumableEnv(GuardEnv(env, self.name))


def prepare_worker() -> None:
    """Makes this process a quiet worker: one thread, and signals that its parent decides about."""
    # Ctrl-C reaches the whole process group; the parent still needs its envs to write a checkpoint.
    # So do the signals of SLURM: see cli/slurm.py.
    for name in ("SIGINT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # A fork inherits the parent's handlers, and one that only takes note would keep the worker alive.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # OpenMP's threads do not survive a fork (a parallel region would hang), and the cores are the parent's.
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
