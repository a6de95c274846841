"""Wrappers that a configuration names, and the flattening of observations."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import FlattenObservation

from sac_lightning.core.errors import ConfigError, did_you_mean
from sac_lightning.envs.imports import allowed_import
from sac_lightning.envs.statistics import refuse_normalization, refuse_statistics

KEY = "env.wrappers"
Env = gym.Env[Any, Any]


def wrapper_class(name: Any, allowed_prefixes: Sequence[str] = ()) -> type[gym.Wrapper[Any, Any, Any, Any]]:
    """The wrapper class called `name`: a class of gymnasium.wrappers, or a dotted path.

    Raises ConfigError on `env.wrappers` when there is none.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(KEY, name, "each wrapper is written {name: ClassName, argument: value, ...}")
    module_name, _, class_name = name.rpartition(".")
    module = allowed_import(module_name or "gymnasium.wrappers", KEY, allowed_prefixes)
    try:
        found = getattr(module, class_name, None)
    except (ImportError, DependencyNotInstalled) as error:
        raise ConfigError(KEY, name, f"something it needs is not installed ({error})") from error
    refuse_normalization(found, KEY, name)
    if not (isinstance(found, type) and issubclass(found, gym.Wrapper)):
        names = getattr(module, "__all__", None) or dir(module)
        raise ConfigError(
            KEY, name, f"{module.__name__} has no such wrapper.{did_you_mean(class_name, names)}"
        )
    return found


def check_wrapper(wrapper: Mapping[str, Any], allowed_prefixes: Sequence[str] = ()) -> None:
    """Raise ConfigError unless `wrapper` names a class and arguments that it takes."""
    cls, kwargs = _parts(wrapper, allowed_prefixes)
    try:
        inspect.signature(cls).bind(None, **kwargs)
    except TypeError as error:
        raise ConfigError(KEY, wrapper["name"], f"cannot be made with {kwargs}: {error}") from error


def wrap(env: Env, wrapper: Mapping[str, Any], allowed_prefixes: Sequence[str] = ()) -> Env:
    """`env` inside the wrapper. Raises ConfigError when the wrapper refuses its arguments or the env."""
    cls, kwargs = _parts(wrapper, allowed_prefixes)
    try:
        wrapped = cls(env, **kwargs)
    except (TypeError, ValueError, AssertionError, AttributeError, DependencyNotInstalled) as error:
        reason = str(error) or type(error).__name__
        raise ConfigError(KEY, wrapper["name"], f"cannot wrap this env with {kwargs}: {reason}") from error
    refuse_statistics(wrapped, KEY, wrapper["name"])
    return wrapped


def flatten_observations(env: Env) -> Env:
    """`env` with Box observations: Dict, Tuple, Discrete, MultiDiscrete, MultiBinary are flattened.

    Raises ConfigError on `env.id` for spaces of no fixed size (Graph, Sequence).
    """
    space = env.observation_space
    if isinstance(space, spaces.Box):
        return env
    if not space.is_np_flattenable:
        raise ConfigError("env.id", space, "observations of this space have no fixed size; not supported")
    return FlattenObservation(env)


def _parts(
    wrapper: Any, allowed_prefixes: Sequence[str]
) -> tuple[type[gym.Wrapper[Any, Any, Any, Any]], dict[str, Any]]:
    if not isinstance(wrapper, Mapping):
        raise ConfigError(KEY, wrapper, "each wrapper is written {name: ClassName, argument: value, ...}")
    kwargs = dict(wrapper)
    return wrapper_class(kwargs.pop("name", None), allowed_prefixes), kwargs
