"""Environments that fail in one sentence: which env, which step, what happened."""

import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, VectorEnv, VectorWrapper

from sac_lightning.core.errors import ConfigError
from sac_lightning.core.finite import first_unusable
from sac_lightning.private.mujoco import take_warnings

T = TypeVar("T")
Env = gym.Env[Any, Any]
Array = npt.NDArray[Any]
EnvStep = tuple[Any, Any, bool, bool, dict[str, Any]]  # of one env
Step = tuple[Array, Array, Array, Array, dict[str, Any]]  # of a vector env

# Before Gymnasium 1.4 the vector wrapper and the two vector envs are no generic classes.
if TYPE_CHECKING:
    ArrayWrapper = VectorWrapper[Array, Array, Array, Array, Array]
else:
    ArrayWrapper = VectorWrapper

# What a pipe raises when the process at its other end is gone.
LOST_WORKER = (EOFError, BrokenPipeError, ConnectionResetError)

# What each method of a Gymnasium env returns; envs of the older package gym return less.
RETURNS = {
    "step": (
        "step must return five values: obs, reward, terminated, truncated, info. For an env of the older gym "
        "return step_api_compatibility(env.step(action), True), a function of "
        "gymnasium.utils.step_api_compatibility"
    ),
    "reset": "reset must return two values: obs, info",
}

logger = logging.getLogger(__name__)


class EnvError(RuntimeError):
    """Says that an env raised, or returned numbers that cannot be used; names the env and the step."""

    def __reduce__(self) -> tuple[Any, ...]:
        # A cause is lost between processes, so its text travels as a note.
        notes = list(getattr(self, "__notes__", []))
        if self.__cause__ is not None:
            notes.append("".join(traceback.format_exception(self.__cause__)))
        return type(self), self.args, {"__notes__": notes}


def make_named(make: Callable[[], T], name: str) -> T:
    """Returns `make()`. Raises EnvError that starts with `name` when it fails; a ConfigError passes."""
    try:
        return make()
    except (ConfigError, EnvError):
        raise
    except Exception as error:
        raise EnvError(f"{name} could not be made: {type(error).__name__}: {error}") from error


def log_mujoco_warnings() -> None:
    """Sends MuJoCo's warnings to `logging`; by default it prints them and writes MUJOCO_LOG.TXT."""
    take_warnings(_log_mujoco)


def _log_mujoco(message: str) -> None:
    # Deprecated words in Gymnasium's own model files are nothing a user can change.
    level = logging.DEBUG if "deprecated" in message else logging.WARNING
    logger.log(level, "MuJoCo: %s", message)


class GuardEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Turns whatever the env raises in `step` or `reset` into an EnvError that names it.

    It runs inside the worker of an async vector env: a worker that raises something which
    cannot be pickled would leave the parent waiting for ever.

    Args:
        env: the env.
        name: what messages call it.
    """

    def __init__(self, env: Env, name: str) -> None:
        super().__init__(env)
        self._name = name

    def step(self, action: Any) -> EnvStep:
        try:
            result = self.env.step(action)
        except Exception as error:
            raise self._error(error, "step") from error
        self._check_count(result, "step", 5)
        return result

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        try:
            result = self.env.reset(**kwargs)
        except Exception as error:
            raise self._error(error, "reset") from error
        self._check_count(result, "reset", 2)
        found, expected = np.shape(result[0]), self.env.observation_space.shape
        if expected not in (None, found):  # a vector env would only speak of an "output array"
            reason = f"reset returned an observation of shape {found}, its observation_space has {expected}"
            raise EnvError(f"{self._name}: {reason}")
        return result

    def _check_count(self, result: Any, method: str, count: int) -> None:
        if not isinstance(result, tuple | list) or len(result) != count:
            raise EnvError(f"{self._name}: {RETURNS[method]}")

    def _error(self, error: Exception, method: str) -> EnvError:
        # A wrapper has unpacked what the env returned; the env's own code may say the same.
        hint = f". {RETURNS[method]}" if "values to unpack" in str(error) else ""
        return EnvError(f"{self._name} raised {type(error).__name__} in {method}: {error}{hint}")


class CheckedEnv(GuardEnv):
    """Checks observations and rewards of a single env, as CheckedVectorEnv does for a vector env."""

    _steps = 0

    def step(self, action: Any) -> EnvStep:
        self._steps += 1
        result = super().step(action)
        self._refuse(check_finite(np.asarray(result[0])[None], np.atleast_1d(result[1])))
        return result

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self._steps = 0
        obs, info = super().reset(**kwargs)
        self._refuse(check_finite(np.asarray(obs)[None]))
        return obs, info

    def _refuse(self, problem: str | None) -> None:
        if problem is not None:
            problem = problem.replace(" of env 0", "", 1)
            raise EnvError(f"{self._name}: {problem}, at step {self._steps} of its episode")


def check_finite(obs: Array, reward: Array | None = None) -> str | None:
    """Returns what of `obs` [B, ...] or `reward` [B] float32 networks cannot use, in words; None if nothing.

    That is NaN, infinite, or so large that its square overflows in float32 (above 1.8e19).
    """
    for name, values in (("observation", obs), ("reward", reward)):
        problem = None if values is None else first_unusable(values)
        if problem is not None:
            return f"the {name}{problem}"
    return None


class CheckedVectorEnv(ArrayWrapper):
    """Counts the steps of a vector env and names the one at which an env fails.

    Args:
        env: the vector env.
        name: what messages call it.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], name: str) -> None:
        super().__init__(env)
        self.name = name
        # `num_envs` for each call of `step`, the reset steps of `next_step` included; a resume sets it.
        self.env_steps = 0
        self._broken = False

    def reset(self, **kwargs: Any) -> tuple[Array, dict[str, Any]]:
        """Returns the first observations [B, ...] and infos of new episodes. Raises EnvError."""
        try:
            obs, info = self.env.reset(**kwargs)
        except BaseException as error:
            self._fail(error)
        self._refuse(check_finite(obs))
        return obs, info

    def step(self, actions: Array) -> Step:
        """Returns obs [B, ...], reward [B], terminated [B], truncated [B] and info. Raises EnvError."""
        self.env_steps += self.num_envs
        try:
            result = self.env.step(actions)
        except BaseException as error:
            self._fail(error)
        obs, reward, _, _, info = result
        self._refuse(check_finite(obs, reward))
        if "final_obs" in info:
            for index in np.flatnonzero(info["_final_obs"]):
                last = np.asarray(info["final_obs"][index])
                if first_unusable(last[None]) is not None:
                    self._refuse(f"the last observation of an episode of env {index} is {last}")
        return result

    def close(self, **kwargs: Any) -> None:
        """Closes every env and ends every worker, also after a failure. Safe to call twice."""
        if self.env.closed:
            return
        # A worker that failed in the middle of a call never answers a polite request.
        if self._broken and isinstance(self.env, AsyncVectorEnv):
            self._end_workers(self.env)
        else:
            self.env.close(**kwargs)

    def abandon(self) -> None:
        """Closes without waiting for an env that may be in the middle of a step."""
        self._broken = True
        self.close()

    def _refuse(self, problem: str | None) -> None:
        if problem is not None:
            raise EnvError(f"{self.name}: {problem}{self._when()}")

    def _when(self) -> str:
        return f", at env step {self.env_steps}"

    def _fail(self, error: BaseException) -> NoReturn:
        self._broken = True
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, LOST_WORKER):
            raise EnvError(f"{self.name}: a worker process ended unexpectedly{self._when()}") from error
        if isinstance(error, EnvError):
            # Gymnasium wraps the worker's exception in another of its class.
            original = error.args[0] if error.args and isinstance(error.args[0], EnvError) else error
            raise EnvError(f"{original}{self._when()}") from original
        raise EnvError(f"{self.name} raised {type(error).__name__}: {error}{self._when()}") from error

    @staticmethod
    def _end_workers(env: "AsyncVectorEnv[Any, Any]") -> None:
        for process in env.processes:
            process.terminate()
        for process in env.processes:
            process.join()
        for pipe in env.parent_pipes:
            if pipe is not None:
                pipe.close()
        env.closed = True
