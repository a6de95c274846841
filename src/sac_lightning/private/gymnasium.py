"""Undocumented parts of Gymnasium: what envs, spaces and vector envs remember between two steps.

A resumed run is exact only where all of it is known, so a part that a release has renamed is an obstacle to
capturing the state: a resumed run then restarts its episodes, and a warning names the part.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from sac_lightning.private import PrivateApi

Array = npt.NDArray[Any]
Step = tuple[Array, Array, Array, Array, dict[str, Any]]
# Before Gymnasium 1.4 this is no generic class.
if TYPE_CHECKING:
    SyncEnvs = SyncVectorEnv[Any, Any]
else:
    SyncEnvs = SyncVectorEnv

_RESTART = "a resumed run restarts its episodes instead of continuing them"
_SLOWER = "Gymnasium's own step is used, which is slower"
_MEMORY = "saves and restores what a vector env remembers of the last step"
_RANDOM = "saves and restores random generators"
_WRAPPER = "saves and restores what a wrapper remembers"

OBSERVATIONS = PrivateApi("gymnasium.vector.SyncVectorEnv._observations", _MEMORY, _RESTART)
ENV_OBS = PrivateApi("gymnasium.vector.SyncVectorEnv._env_obs", _MEMORY, _RESTART)
AUTORESET_ENVS = PrivateApi("gymnasium.vector.SyncVectorEnv._autoreset_envs", _MEMORY, _RESTART)
ADD_INFO = PrivateApi("gymnasium.vector.VectorEnv._add_info", "collects infos in a shorter step", _SLOWER)
ASYNC_OBSERVATIONS = PrivateApi("gymnasium.vector.AsyncVectorEnv.observations", _MEMORY, _RESTART)
SHARED_MEMORY = PrivateApi("gymnasium.vector.AsyncVectorEnv.shared_memory", _MEMORY, _RESTART)
ENV_RANDOM = PrivateApi("gymnasium.Env._np_random", _RANDOM, _RESTART)
ENV_SEED = PrivateApi("gymnasium.Env._np_random_seed", _RANDOM, _RESTART)
SPACE_RANDOM = PrivateApi("gymnasium.Space._np_random", _RANDOM, _RESTART)
ACTION_SPACE = PrivateApi("gymnasium.Wrapper._action_space", _RANDOM, _RESTART)
OBSERVATION_SPACE = PrivateApi("gymnasium.Wrapper._observation_space", _RANDOM, _RESTART)
ELAPSED_STEPS = PrivateApi("gymnasium.wrappers.TimeLimit._elapsed_steps", _WRAPPER, _RESTART)
HAS_RESET = PrivateApi("gymnasium.wrappers.OrderEnforcing._has_reset", _WRAPPER, _RESTART)
OBS_BUFFER = PrivateApi("gymnasium.wrappers.MaxAndSkipObservation._obs_buffer", _WRAPPER, _RESTART)

_OF_SYNC = (OBSERVATIONS, ENV_OBS, AUTORESET_ENVS)
_OF_ASYNC = (ASYNC_OBSERVATIONS, SHARED_MEMORY)
_OF_EVERY_ENV = (ENV_RANDOM, ENV_SEED, SPACE_RANDOM, ACTION_SPACE, OBSERVATION_SPACE)
PRIVATE_APIS = (*_OF_SYNC, ADD_INFO, *_OF_ASYNC, *_OF_EVERY_ENV, ELAPSED_STEPS, HAS_RESET, OBS_BUFFER)


# --- what is missing ---------------------------------------------------------------------------------


def missing_in_vector_env(envs: object) -> PrivateApi | None:
    """Returns the first part that capturing Gymnasium's own vector env needs and that it does not have."""
    return _missing(_OF_ASYNC if isinstance(envs, AsyncVectorEnv) else _OF_SYNC)


def missing_in_every_env() -> PrivateApi | None:
    """Returns the first part that capturing any env needs and that Gymnasium does not have."""
    return _missing(_OF_EVERY_ENV)


def missing_attribute(layer: Any, attributes: Sequence[str]) -> PrivateApi | None:
    """Returns the first of `attributes` that the class of `layer`, an env or a wrapper, knows nothing of.

    The class is asked and not the object, which gets some attributes only with its first reset.
    """
    cls: Any = type(layer)
    for name in attributes:
        if not _mentions(cls, name.rpartition(".")[2]):
            return PrivateApi(f"{cls.__module__}.{cls.__qualname__}.{name}", _WRAPPER, _RESTART)
    return None


def _missing(apis: Sequence[PrivateApi]) -> PrivateApi | None:
    for api in apis:
        cls = resolve_name(api.name.removesuffix(f".{api.attribute}"))
        if not _mentions(cls, api.attribute):
            return api
    return None


@cache
def _mentions(cls: type, attribute: str) -> bool:
    """Returns whether the class, or one that it extends, defines the attribute or uses it in a method."""
    for namespace in map(vars, cls.__mro__):
        if attribute in namespace or attribute in namespace.get("__annotations__", ()):
            return True
        for value in namespace.values():
            function = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if attribute in getattr(getattr(function, "__code__", None), "co_names", ()):
                return True
    return False


# --- vector envs -------------------------------------------------------------------------------------


def sync_vector_env(factories: Sequence[Callable[[], Any]], mode: AutoresetMode) -> SyncEnvs:
    """Returns envs of this process as one; the returned observations are copies.

    It is a `FastSyncVectorEnv`, or Gymnasium's own where a part that the faster step needs is missing.
    """
    missing = _missing((*_OF_SYNC, ADD_INFO))
    if missing is None:
        return FastSyncVectorEnv(factories, copy=True, autoreset_mode=mode)
    if missing is ADD_INFO:
        missing.warn()
    return SyncVectorEnv(factories, copy=True, autoreset_mode=mode)


class FastSyncVectorEnv(SyncEnvs):
    """Gymnasium's SyncVectorEnv of Box observations, with a shorter `step`.

    Gymnasium's serves every space: it lists, concatenates and copies observations and walks through infos.
    The updates in between evict all of that from the processor's caches, so each call counts.
    """

    def step(self, actions: Array) -> Step:
        """Returns obs [E, ...], reward [E], terminated [E], truncated [E], info: new arrays each time."""
        obs = np.empty_like(self._observations)
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)
        infos: dict[str, Any] = {}
        for i, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            if self._autoreset_envs[i] and self.autoreset_mode is AutoresetMode.NEXT_STEP:
                new, info = env.reset()
            else:
                new, reward[i], terminated[i], truncated[i], info = env.step(action)
                if self.autoreset_mode is AutoresetMode.SAME_STEP and (terminated[i] or truncated[i]):
                    infos = self._add_info(infos, {"final_obs": new, "final_info": info}, i)
                    new, info = env.reset()
            if np.shape(new) != obs.shape[1:]:  # NumPy would repeat it to make it fit
                raise ValueError(
                    f"an observation of shape {np.shape(new)}, where {obs.shape[1:]} is declared"
                )
            np.copyto(obs[i : i + 1], new)
            if info:
                infos = self._add_info(infos, info, i)
        # What Gymnasium's `reset` and a captured state read. The returned arrays belong to the caller.
        np.copyto(self._observations, obs)
        self._env_obs = list(self._observations)
        self._autoreset_envs = terminated | truncated
        return obs, reward, terminated, truncated, infos


def sync_memory(envs: Any) -> tuple[list[bool], Any]:
    """Returns which envs of a sync vector env reset with the next step [E], and the last observations."""
    return [bool(over) for over in AUTORESET_ENVS.read(envs)], OBSERVATIONS.read(envs)


def restore_sync_memory(envs: Any, resetting: list[bool], observations: Any, rows: list[Any]) -> None:
    """Sets what `sync_memory` returned; `rows` are the observations of each env."""
    envs._autoreset_envs = np.array(resetting, dtype=np.bool_)
    envs._observations, envs._env_obs = observations, rows


def async_observations(envs: Any) -> Any:
    """Returns the memory in which the workers of an async vector env leave their observations."""
    return ASYNC_OBSERVATIONS.read(envs)


def shares_memory(envs: Any) -> bool:
    """Returns whether the workers of an async vector env leave their observations in shared memory."""
    return bool(SHARED_MEMORY.read(envs))


# --- random generators and wrappers ------------------------------------------------------------------


def env_random(env: Any) -> tuple[np.random.Generator | None, int | None]:
    """Returns the random generator of an env without wrappers, and its seed; None where not made yet."""
    return ENV_RANDOM.read(env), ENV_SEED.read(env)


def set_env_random(env: Any, generator: np.random.Generator | None, seed: int | None) -> None:
    """Sets what `env_random` returned."""
    env._np_random, env._np_random_seed = generator, seed


def space_random(space: gym.Space[Any]) -> np.random.Generator | None:
    """Returns the random generator of a space; None where it is not made yet."""
    generator: np.random.Generator | None = SPACE_RANDOM.read(space)
    return generator


def set_space_random(space: gym.Space[Any], generator: np.random.Generator | None) -> None:
    """Sets what `space_random` returned."""
    vars(space)[SPACE_RANDOM.attribute] = generator


def own_spaces(owner: Any) -> dict[str, gym.Space[Any]]:
    """Returns the spaces that an env, a wrapper or a vector env itself has as attributes, by name."""
    names = ("action_space", "observation_space", ACTION_SPACE.attribute, OBSERVATION_SPACE.attribute)
    found = {name: vars(owner).get(name) for name in names}
    return {name: space for name, space in found.items() if isinstance(space, gym.Space)}


def skip_checks(checker: Any) -> None:
    """Marks the checks of a PassiveEnvChecker as made; without these attributes it makes them again."""
    checker.checked_reset = checker.checked_step = checker.checked_data_reuse = True
    checker._previous_data = None
