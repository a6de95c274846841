"""What the state of each known env and wrapper is.

An adapter is chosen by the exact class: a subclass may hold more. A class without an adapter takes part by
offering hooks of its own, `capture_state() -> dict` of plain data and `restore_state(state) -> None`; the
env's random generator and its spaces' are taken care of either way.
"""

import time
from collections import deque
from operator import attrgetter
from typing import Any, Protocol

from sac_lightning.envs.snapshot.mujoco import MujocoState

Layer = Any  # an env or a wrapper


class Adapter(Protocol):
    """Reads the state of a layer, and writes it into a fresh layer of the same class."""

    def capture(self, layer: Layer) -> dict[str, Any]: ...

    def restore(self, layer: Layer, state: dict[str, Any]) -> None: ...


class Attributes:
    """The state is a few attributes, dots allowed; none at all for a stateless class."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def capture(self, layer: Layer) -> dict[str, Any]:
        """The values."""
        return {name: attrgetter(name)(layer) for name in self.names if _holds(layer, name)}

    def restore(self, layer: Layer, state: dict[str, Any]) -> None:
        """Set them; a deque keeps its identity and its length."""
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
    """Adds the clock: an episode's age goes on, not the moment at which it began."""

    def capture(self, layer: Layer) -> dict[str, Any]:
        """The values and the age."""
        return {**super().capture(layer), "age": time.perf_counter() - layer.episode_start_time}

    def restore(self, layer: Layer, state: dict[str, Any]) -> None:
        """Set them, and a beginning that gives the age."""
        rest = dict(state)
        layer.episode_start_time = time.perf_counter() - rest.pop("age")
        super().restore(layer, rest)


class Checked:
    """The checks of an env's first steps were made by the run that is continued."""

    def capture(self, layer: Layer) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, layer: Layer, state: dict[str, Any]) -> None:
        """Mark them as made."""
        layer.checked_reset = layer.checked_step = layer.checked_data_reuse = True
        layer._previous_data = None


class Hooks:
    """An env or wrapper that offers `capture_state` and `restore_state`."""

    def capture(self, layer: Layer) -> dict[str, Any]:
        """What the env says."""
        state: dict[str, Any] = layer.capture_state()
        return state

    def restore(self, layer: Layer, state: dict[str, Any]) -> None:
        """Tell the env."""
        layer.restore_state(state)


def adapter_for(layer: Layer) -> Adapter | None:
    """The adapter of the layer's class; None where nobody knows what its state is."""
    cls = type(layer)
    if all(callable(getattr(cls, hook, None)) for hook in ("capture_state", "restore_state")):
        return Hooks()
    return ADAPTERS.get((cls.__module__, cls.__qualname__))


def _holds(layer: Layer, name: str) -> bool:
    try:
        attrgetter(name)(layer)
    except AttributeError:  # set by the first reset or step only
        return False
    return True


WRAPPERS: dict[str, dict[str, Adapter]] = {
    "common": {
        "TimeLimit": Attributes("_elapsed_steps"),
        "Autoreset": Attributes("autoreset"),
        "PassiveEnvChecker": Checked(),
        "OrderEnforcing": Attributes("_has_reset"),
        "RecordEpisodeStatistics": EpisodeStatistics(
            *("episode_count", "episode_returns", "episode_lengths"),
            *("time_queue", "return_queue", "length_queue"),
        ),
    },
    "stateful_observation": {
        "DelayObservation": Attributes("observation_queue"),
        "TimeAwareObservation": Attributes("timesteps"),
        "FrameStackObservation": Attributes("obs_queue", "padding_value"),
        "MaxAndSkipObservation": Attributes("_obs_buffer"),
    },
    "stateful_action": {
        "StickyAction": Attributes("last_action", "is_sticky_actions", "num_repeats", "repeats_taken"),
        "RepeatAction": Attributes(),
    },
    # TransformAction, -Observation and -Reward are missing: they hold a function of the user's.
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
