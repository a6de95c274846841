"""Many envs behind one `step`: in this process, or in one worker process each."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv

from sac_lightning.envs.guard import LOST_WORKER, CheckedVectorEnv, EnvError, GuardEnv
from sac_lightning.envs.same_process import SameProcessEnvs
from sac_lightning.envs.state_worker import ResumableEnv

AUTORESET = {"same_step": AutoresetMode.SAME_STEP, "next_step": AutoresetMode.NEXT_STEP}
VECTORIZATION = ("sync", "async")


@dataclass(frozen=True)
class EnvFactory:
    """Makes env number `index` of a vector env; knows whether it runs in a worker process."""

    make: Callable[[], gym.Env[Any, Any]]
    name: str
    index: int | None
    owner: int = field(default_factory=os.getpid)

    def __call__(self) -> gym.Env[Any, Any]:
        """The env, guarded."""
        if os.getpid() != self.owner:
            prepare_worker()
        return ResumableEnv(GuardEnv(self.make(), self.name, self.index))


def prepare_worker() -> None:
    """Make this process a quiet worker: one thread, and signals that its parent decides about."""
    # Ctrl-C reaches the whole process group; the parent still needs its envs to write a checkpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A fork inherits the parent's handlers, and one that only takes note would keep the worker alive.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # OpenMP's threads do not survive a fork (a parallel region would hang), and the cores are the parent's.
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def vector_env(
    make: Callable[[], gym.Env[Any, Any]], name: str, num_envs: int, vectorization: str, autoreset: str
) -> CheckedVectorEnv:
    """`num_envs` envs of `make` as one; observations are copies, so they may be kept.

    Raises EnvError when a worker process cannot make its env.
    """
    factories = [EnvFactory(make, name, index if num_envs > 1 else None) for index in range(num_envs)]
    mode = AUTORESET[autoreset]
    envs: VectorEnv[Any, Any, Any]
    if vectorization == "async":
        try:
            envs = AsyncVectorEnv(factories, copy=True, daemon=True, autoreset_mode=mode)
        except LOST_WORKER as error:
            raise EnvError(f"{name}: a worker process could not make its env") from error
    else:
        envs = SameProcessEnvs(factories, copy=True, autoreset_mode=mode)
    return CheckedVectorEnv(envs, name)
