"""The state of one env with all its wrappers, also from inside a worker process."""

from typing import Any

import gymnasium as gym

from sac_lightning.envs.guard import Env, EnvError, EnvStep, GuardEnv
from sac_lightning.envs.snapshot.adapters import Adapter, adapter_for
from sac_lightning.envs.snapshot.serialize import (
    generator_from,
    generator_state,
    plain,
    restore_spaces,
    spaces_state,
)
from sac_lightning.envs.wrappers import (
    RAW_REWARD,
    CopyObservation,
    FlatActions,
    FlatObservations,
    MaskInObservation,
    RewardMeter,
    ShowRawReward,
)
from sac_lightning.private import PrivateApi
from sac_lightning.private.gymnasium import (
    env_random,
    missing_attribute,
    missing_in_every_env,
    set_env_random,
)


def obstacle(env: Env) -> str | PrivateApi | None:
    """Returns what prevents capturing `env` with its wrappers; None when all can be captured.

    That is a class whose state is unknown, or an attribute that this release of a library does not have.
    """
    found: list[str | PrivateApi | None] = [missing_in_every_env(), *map(_obstacle, _layers(env))]
    return next((each for each in found if each is not None), None)


def _obstacle(layer: Env) -> str | PrivateApi | None:
    adapter = adapter_for(layer)
    if adapter is None:
        return _name(layer)
    return missing_attribute(layer, getattr(adapter, "names", ()))


def capture_env(env: Env) -> dict[str, Any]:
    """Returns all that decides how `env` continues, as plain data. Raises EnvError when a hook fails."""
    base = env.unwrapped
    generator, seed = env_random(base)
    return {
        "layers": [_capture(layer) for layer in _layers(env)],
        "generator": generator_state(generator),
        "seed": plain(seed, f"{_name(base)}.np_random_seed"),
    }


def restore_env(env: Env, state: dict[str, Any]) -> None:
    """Makes `env` continue from `state`. Raises EnvError when it is not made of the same classes."""
    layers = _layers(env)
    saved, present = [layer["class"] for layer in state["layers"]], [_name(layer) for layer in layers]
    if saved != present:
        raise EnvError(f"the state is of {' < '.join(saved)}; this env is {' < '.join(present)}")
    for layer, layer_state in zip(layers, state["layers"], strict=True):
        try:
            _adapter(layer).restore(layer, layer_state["state"])
            restore_spaces(layer, layer_state["spaces"])
        except Exception as error:
            raise EnvError(f"the state of {_name(layer)} cannot be restored: {error}") from error
    set_env_random(env.unwrapped, generator_from(state["generator"]), state["seed"])


def _capture(layer: Env) -> dict[str, Any]:
    try:
        state = _adapter(layer).capture(layer)
    except Exception as error:
        raise EnvError(f"the state of {_name(layer)} cannot be captured: {error}") from error
    return {"class": _name(layer), "state": plain(state, _name(layer)), "spaces": spaces_state(layer)}


def _adapter(layer: Env) -> Adapter:
    adapter = adapter_for(layer)
    assert adapter is not None, _name(layer)
    return adapter


def _name(layer: Env) -> str:
    return f"{type(layer).__module__}.{type(layer).__qualname__}"


class ResumableEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Gives its parent process the env's state, and takes one from it.

    Whether the next step is a reset (`next_step` autoreset) is a local variable of Gymnasium's worker,
    out of reach. After a restore this wrapper therefore answers one reset and one step from the state,
    without touching the env, and the worker sets its variable from that answer.

    Infos end here. A vector env concatenates those of all envs, key by key, and fails where their arrays
    differ in length; only the raw reward is read.
    """

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.received: dict[str, Any] | None = None
        self._over = False
        self._answer: tuple[Any, bool] | None = None

    def step(self, action: Any) -> EnvStep:
        if self._answer is not None:
            (obs, over), self._answer = self._answer, None
            return obs, 0.0, over, False, {}
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._over = bool(terminated or truncated)
        return obs, reward, terminated, truncated, {key: info[key] for key in (RAW_REWARD,) if key in info}

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        if self._answer is not None:
            return self._answer[0], {}
        self._over = False
        return self.env.reset(**kwargs)[0], {}

    # The parent calls these by name. They return errors: one that is raised would end the worker.

    def resume_obstacle(self) -> str | PrivateApi | None:
        """Returns what prevents capturing the env's state."""
        return obstacle(self.env)

    def resume_state(self) -> dict[str, Any] | str:
        """Returns the env's state and whether its episode is over, or an error message."""
        try:
            return {"env": capture_env(self.env), "over": self._over}
        except Exception as error:
            return str(error)

    def resume_received(self, answer: bool) -> str | None:
        """Restores `received`; with `answer`, prepares the answer. Returns an error message or None."""
        received, self.received = self.received, None
        try:
            assert received is not None, "no state has arrived"
            restore_env(self.env, received["env"])
        except Exception as error:
            return str(error)
        self._over = received["over"]
        self._answer = (received["obs"], self._over) if answer else None
        return None


# The wrappers that this package puts around every env have no state that outlives a process.
OURS = (
    *(GuardEnv, FlatActions, FlatObservations, MaskInObservation, CopyObservation),
    *(RewardMeter, ShowRawReward, ResumableEnv),
)


def _layers(env: Env) -> list[Env]:
    """Lists the outermost wrapper to the env itself, without our own."""
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    return [layer for layer in layers if type(layer) not in OURS]
