"""The state of one env with all its wrappers."""

from typing import Any

import gymnasium as gym

from sac_lightning.envs.guard import EnvError
from sac_lightning.envs.snapshot.adapters import adapter_for
from sac_lightning.envs.snapshot.plain import plain
from sac_lightning.envs.snapshot.random import generator_from, generator_state, restore_spaces, spaces_state

# Wrappers that this package puts around every env; they hold nothing that outlives a process.
OURS = tuple(
    f"sac_lightning.envs.{name}"
    for name in (
        "guard.GuardEnv",
        "hybrid.FlatActions",
        "memory.CopyObservation",
        "raw_reward.RewardMeter",
        "raw_reward.ShowRawReward",
        "snapshot.worker.ResumableEnv",
    )
)


def obstacle(env: gym.Env[Any, Any]) -> str | None:
    """The class in `env`'s chain whose state nobody knows; None when all of it can be captured."""
    return next((_name(layer) for layer in _layers(env) if adapter_for(layer) is None), None)


def capture_env(env: gym.Env[Any, Any]) -> dict[str, Any]:
    """Everything that decides how `env` goes on, as plain data. Raises EnvError when a hook fails."""
    base = env.unwrapped
    return {
        "layers": [_capture(layer) for layer in _layers(env)],
        "generator": generator_state(base._np_random),
        "seed": plain(base._np_random_seed, f"{_name(base)}.np_random_seed"),
    }


def restore_env(env: gym.Env[Any, Any], state: dict[str, Any]) -> None:
    """Make `env` go on from `state`. Raises EnvError when it is not made of the same classes."""
    layers = _layers(env)
    saved, present = [layer["class"] for layer in state["layers"]], [_name(layer) for layer in layers]
    if saved != present:
        raise EnvError(f"the state is of {' < '.join(saved)}; this env is {' < '.join(present)}")
    for layer, layer_state in zip(layers, state["layers"], strict=True):
        adapter = adapter_for(layer)
        assert adapter is not None, _name(layer)
        try:
            adapter.restore(layer, layer_state["state"])
            restore_spaces(layer, layer_state["spaces"])
        except Exception as error:
            raise EnvError(f"the state of {_name(layer)} cannot be restored: {error}") from error
    base = env.unwrapped
    base._np_random, base._np_random_seed = generator_from(state["generator"]), state["seed"]


def _capture(layer: gym.Env[Any, Any]) -> dict[str, Any]:
    adapter = adapter_for(layer)
    assert adapter is not None, _name(layer)
    try:
        state = adapter.capture(layer)
    except Exception as error:
        raise EnvError(f"the state of {_name(layer)} cannot be captured: {error}") from error
    return {"class": _name(layer), "state": plain(state, _name(layer)), "spaces": spaces_state(layer)}


def _layers(env: gym.Env[Any, Any]) -> list[gym.Env[Any, Any]]:
    """From the outermost wrapper to the env itself."""
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    return [layer for layer in layers if _name(layer) not in OURS]


def _name(layer: gym.Env[Any, Any]) -> str:
    return f"{type(layer).__module__}.{type(layer).__qualname__}"
