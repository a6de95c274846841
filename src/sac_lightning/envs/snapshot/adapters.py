"""The state of each known env and wrapper.

An adapter is chosen by the exact class: a subclass may have more state. A class without an adapter takes part
with two methods of its own, `capture_state() -> dict` of plain data and `restore_state(state) -> None`; the
random generators of the env and its spaces are handled either way.
"""

import time
from collections import deque
from importlib import import_module
from operator import attrgetter
from typing import Any, Protocol

import numpy as np

from sac_lightning.private.gymnasium import ELAPSED_STEPS, HAS_RESET, OBS_BUFFER, skip_checks

Layer = Any  # an env or a wrapper
# Of MuJoCo's data: addresses of this process, and sizes that change with the contacts; every step computes
# these again.
SKIPPED = ("plugin", "plugin_data")


class Adapter(Protocol):
    """Reads the state of a layer, and writes it into a fresh layer of the same class."""

    def capture(self, layer: Layer) -> dict[str, Any]: ...

    def restore(self, layer: Layer, state: dict[str, Any]) -> None: ...


class Attributes:
    """Captures a few attributes, dots allowed; none at all for a stateless class."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def capture(self, layer: Layer) -> dict[str, Any]:
        return {name: attrgetter(name)(layer) for name in self.names if _has(layer, name)}

    def restore(self, layer: Layer, state: dict[str, Any]) -> None:
        """Sets them; a deque keeps its identity and its length."""
        for name, value in state.items():
            path, _, last = name.rpartition(".")
            owner = attrgetter(path)(layer) if path else layer
            present = getattr(owner, last, None)
            if isinstance(present, deque):
                present.clear()
                present.extend(value)
            else:
                setattr(owner, last, value)


class EpisodeStatistics(Attributes):
    """Adds the clock: what continues is an episode's age, not the time at which it started."""

    def capture(self, layer: Layer) -> dict[str, Any]:
        return {**super().capture(layer), "age": time.perf_counter() - layer.episode_start_time}

    def restore(self, layer: Layer, state: dict[str, Any]) -> None:
        rest = dict(state)
        layer.episode_start_time = time.perf_counter() - rest.pop("age")
        super().restore(layer, rest)


class Checked:
    """Skips the checks of an env's first steps: the run that is continued has made them."""

    def capture(self, layer: Layer) -> dict[str, Any]:
        return {}

    def restore(self, layer: Layer, state: dict[str, Any]) -> None:
        skip_checks(layer)


class Hooks:
    """Asks an env or wrapper that has `capture_state` and `restore_state`."""

    def capture(self, layer: Layer) -> dict[str, Any]:
        state: dict[str, Any] = layer.capture_state()
        return state

    def restore(self, layer: Layer, state: dict[str, Any]) -> None:
        layer.restore_state(state)


class MujocoState(Attributes):
    """Captures MuJoCo's integration state, all that was derived from it, and attributes of the Python env.

    The derived arrays matter: envs read some of them (`xipos`, `cfrc_ext`, `cinert` …) before the next step
    has computed them again, and they lag behind `qpos` by a substep, so `mj_forward` would not bring
    them back.
    """

    def capture(self, layer: Layer) -> dict[str, Any]:
        mujoco = _mujoco()
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        integration = np.empty(mujoco.mj_stateSize(layer.model, kind))
        mujoco.mj_getState(layer.model, layer.data, integration, kind)
        attributes = super().capture(layer)
        return {"integration": integration, "derived": _derived(layer), "attributes": attributes}

    def restore(self, layer: Layer, state: dict[str, Any]) -> None:
        """Raises ValueError when the model has other sizes, as after an update of MuJoCo."""
        mujoco = _mujoco()
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        integration, present = state["integration"], _derived(layer)
        sizes = {name: array.shape for name, array in present.items()}
        saved = {name: array.shape for name, array in state["derived"].items()}
        if sizes != saved or integration.shape != (mujoco.mj_stateSize(layer.model, kind),):
            raise ValueError("it was saved by another version of MuJoCo, or with another model")
        mujoco.mj_setState(layer.model, layer.data, integration, kind)
        for name, array in state["derived"].items():
            getattr(layer.data, name)[...] = array
        super().restore(layer, state["attributes"])


def _derived(layer: Layer) -> dict[str, Any]:
    """Returns the arrays of fixed size in `data`: those that a fresh `data` has with the same shape."""
    fresh = _mujoco().MjData(layer.model)
    arrays = {}
    for name in dir(fresh):
        if name.startswith("_") or name in SKIPPED:
            continue
        array = getattr(layer.data, name)
        if isinstance(array, np.ndarray) and array.size and array.shape == getattr(fresh, name).shape:
            arrays[name] = array
    return arrays


def _mujoco() -> Any:
    # Untyped, and only there with the `mujoco` extra.
    return import_module("mujoco")


def adapter_for(layer: Layer) -> Adapter | None:
    """Returns the adapter of the layer's class; None where its state is unknown."""
    cls = type(layer)
    if all(callable(getattr(cls, hook, None)) for hook in ("capture_state", "restore_state")):
        return Hooks()
    return ADAPTERS.get((cls.__module__, cls.__qualname__))


def _has(layer: Layer, name: str) -> bool:
    try:
        attrgetter(name)(layer)
    except AttributeError:  # set by the first reset or step only
        return False
    return True


WRAPPERS: dict[str, dict[str, Adapter]] = {
    "common": {
        "TimeLimit": Attributes(ELAPSED_STEPS.attribute),
        "Autoreset": Attributes("autoreset"),
        "PassiveEnvChecker": Checked(),
        "OrderEnforcing": Attributes(HAS_RESET.attribute),
        "RecordEpisodeStatistics": EpisodeStatistics(
            *("episode_count", "episode_returns", "episode_lengths"),
            *("time_queue", "return_queue", "length_queue"),
        ),
    },
    "stateful_observation": {
        "DelayObservation": Attributes("observation_queue"),
        "TimeAwareObservation": Attributes("timesteps"),
        "FrameStackObservation": Attributes("obs_queue", "padding_value"),
        "MaxAndSkipObservation": Attributes(OBS_BUFFER.attribute),
    },
    "stateful_action": {
        "StickyAction": Attributes("last_action", "is_sticky_actions", "num_repeats", "repeats_taken"),
        "RepeatAction": Attributes(),
    },
    # TransformAction, -Observation and -Reward are missing: they contain a function of the user's.
    "transform_action": {name: Attributes() for name in ("ClipAction", "RescaleAction", "DiscretizeAction")},
    "transform_reward": {"ClipReward": Attributes()},
    "transform_observation": {
        f"{name}Observation": Attributes()
        for name in ("Filter", "Flatten", "Grayscale", "Resize", "Reshape", "Rescale", "Dtype", "Discretize")
    },
}

CLASSIC: dict[str, dict[str, Adapter]] = {
    "cartpole": {"CartPoleEnv": Attributes("state", "steps_beyond_terminated")},
    "pendulum": {"PendulumEnv": Attributes("state", "last_u")},
    "mountain_car": {"MountainCarEnv": Attributes("state")},
    "continuous_mountain_car": {"Continuous_MountainCarEnv": Attributes("state")},
    "acrobot": {"AcrobotEnv": Attributes("state")},
}

TOY_TEXT: dict[str, dict[str, Adapter]] = {
    "frozen_lake": {"FrozenLakeEnv": Attributes("s", "lastaction")},
    "cliffwalking": {"CliffWalkingEnv": Attributes("s", "lastaction")},
    "taxi": {"TaxiEnv": Attributes("s", "lastaction", "fickle_step", "taxi_orientation")},
}

MUJOCO: dict[str, dict[str, Adapter]] = {
    f"{module}_v{version}": {f"{name}Env": MujocoState(*attributes)}
    for version in (4, 5)
    for module, name, attributes in (
        ("ant", "Ant", ()),
        ("half_cheetah", "HalfCheetah", ()),
        ("hopper", "Hopper", ()),
        ("humanoid", "Humanoid", ()),
        ("humanoidstandup", "HumanoidStandup", ()),
        ("inverted_double_pendulum", "InvertedDoublePendulum", ()),
        ("inverted_pendulum", "InvertedPendulum", ()),
        ("pusher", "Pusher", ("goal_pos", "cylinder_pos")),
        ("reacher", "Reacher", ("goal",)),
        ("swimmer", "Swimmer", ()),
        ("walker2d", "Walker2d", ()),
    )
}

ADAPTERS: dict[tuple[str, str], Adapter] = {
    (f"gymnasium.{package}.{module}", name): adapter
    for package, table in (
        ("wrappers", WRAPPERS),
        ("envs.classic_control", CLASSIC),
        ("envs.toy_text", TOY_TEXT),
        ("envs.mujoco", MUJOCO),
    )
    for module, classes in table.items()
    for name, adapter in classes.items()
}
