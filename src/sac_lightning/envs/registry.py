"""Checks an env's id, modules and arguments against Gymnasium's registry, without making the env."""

import ctypes
import inspect
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, parse_env_id
from gymnasium.error import DependencyNotInstalled

from sac_lightning.core.errors import ConfigError, did_you_mean, install, number, one_line, require

# What a config may always import.
ALWAYS_ALLOWED = ("gymnasium", "sac_lightning")
# Where envs live that the configs of this package name -> the extra of it that installs what they need.
EXTRAS = {
    "gymnasium.envs.mujoco": "mujoco",
    "gymnasium.envs.box2d": "box2d",
    "minigrid": "minigrid",
    "ale_py": "atari",
    "minatar": "minatar",
    "gymnasium_robotics": "robotics",
}
OWN_KEYS = ("render_mode", "max_episode_steps", "id")  # of EnvConfig, beside `kwargs`


def needs_permission(module: str, allowed_prefixes: Sequence[str] = ()) -> bool:
    """Returns whether `module` lies neither under an allowed prefix nor in a package of our configs."""
    prefixes = (*ALWAYS_ALLOWED, *EXTRAS, *allowed_prefixes)
    return not any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def allowed_import(module: str, key: str, allowed_prefixes: Sequence[str] = ()) -> ModuleType:
    """Returns `module` (a dotted name), imported, when it lies under an allowed prefix.

    Raises ConfigError on `key` when the prefix is not allowed, or when the module or something it
    needs is not installed.
    """
    prefixes = (*ALWAYS_ALLOWED, *allowed_prefixes)
    if not isinstance(module, str):
        raise ConfigError(key, module, "each must be a module's name")
    if needs_permission(module, allowed_prefixes):
        root = module.partition(".")[0]
        advice = f"if you trust this module, name it: env.allowed_prefixes=[{root}]"
        raise ConfigError(key, module, f"only {', '.join(prefixes)} may be imported; {advice}")
    try:
        return import_module(module)
    except (ImportError, ValueError) as error:
        advice = f": {install(EXTRAS[module])}" if module in EXTRAS else ""
        raise ConfigError(key, module, f"it cannot be imported ({error}){advice}") from error


def split_id(env_id: str) -> tuple[str | None, str]:
    """Splits "my_package:MyEnv-v0" into the module to import first and the id; no module for a plain id."""
    module, colon, rest = env_id.partition(":")
    return (module, rest) if colon else (None, env_id)


def check_id(env_id: str, of_tensors: bool = False) -> EnvSpec:
    """Returns the registered spec of `env_id`. Raises ConfigError on `env.id` with the nearest ids.

    With `of_tensors` it must have a vector env of its own, else a single env.
    """
    spec = gym.registry.get(env_id)
    if spec is None:
        near = _near_ids(env_id)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        advice = f"If a package registers it, write env.id=PACKAGE:{env_id} or name it in env.imports"
        raise ConfigError("env.id", env_id, f"Gymnasium knows no such id.{hint} {advice}")
    # Ids that have moved to another package stay registered with a function that only raises.
    if getattr(spec.entry_point, "__module__", "") == "gymnasium.envs":
        raise ConfigError("env.id", env_id, f"has left Gymnasium. Did you mean {_newest(spec)}?")
    if of_tensors:
        allowed = "env.vectorization=torch needs an id that is registered with a vector_entry_point"
        require(spec.vector_entry_point is not None, "env.id", env_id, allowed)
    elif spec.entry_point is None:
        allowed = "it exists as a vector env only; of torch tensors? Then set env.vectorization=torch"
        raise ConfigError("env.id", env_id, allowed)
    return spec


def _near_ids(env_id: str) -> list[str]:
    """Returns at most three registered ids close to `env_id`, whatever its case, punctuation and version."""
    try:
        namespace, name, _ = parse_env_id(env_id)
    except gym.error.Error:
        namespace, name = None, env_id
    by_key: dict[str, dict[str | None, str]] = {}
    for spec in gym.registry.values():
        by_key.setdefault(_key(spec.name), {})[spec.namespace] = _newest(spec)
    same = by_key.get(_key(name), {})
    if namespace in same:
        return [same[namespace]]
    if same:
        return list(same.values())[:3]
    close = get_close_matches(_key(name), by_key, n=3, cutoff=0.6)
    return [by_key[key].get(namespace) or next(iter(by_key[key].values())) for key in close]


def _newest(spec: EnvSpec) -> str:
    """Returns the id of the newest registered version of the env that `spec` is a version of."""
    name = spec.namespace, spec.name
    versions = [each for each in gym.registry.values() if (each.namespace, each.name) == name]
    return max(versions, key=lambda each: each.version or 0).id


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def check_installed(spec: EnvSpec, of_tensors: bool = False) -> Any:
    """Returns the class or function that makes the env. Raises ConfigError when what it needs is missing."""
    entry_point = spec.vector_entry_point if of_tensors else spec.entry_point
    if not isinstance(entry_point, str):
        return entry_point
    module, _, name = entry_point.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, DependencyNotInstalled) as error:
        raise missing_dependency(spec.id, module, error) from error


def missing_dependency(env_id: str, module: str, error: BaseException) -> ConfigError:
    """Returns the error for an env of `module` that cannot be imported, with the command that helps."""
    extra = next((name for prefix, name in EXTRAS.items() if module.startswith(prefix)), None)
    if extra is None:
        return ConfigError("env.id", env_id, f"something it needs is not installed ({error})")
    chosen = os.environ.get("MUJOCO_GL")
    if extra == "mujoco" and chosen and find_spec("mujoco") is not None:
        reason = f"MuJoCo cannot draw with MUJOCO_GL={chosen}, whose library is missing ({one_line(error)})"
        return ConfigError("env.id", env_id, f"{reason}: unset it, or set MUJOCO_GL=egl")
    return ConfigError("env.id", env_id, f"needs {extra}, which is not installed: {install(extra)}")


def draw_without_display() -> None:
    """Sets MUJOCO_GL=egl where EGL is, no display, and nothing is set: MuJoCo would ask for a window."""
    if sys.platform != "linux" or {"MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        return
    with suppress(OSError):
        ctypes.CDLL("libEGL.so.1")
        os.environ["MUJOCO_GL"] = "egl"


def check_kwargs(env_id: str, creator: Any, kwargs: Mapping[str, Any]) -> None:
    """Raises ConfigError on `env.kwargs` for arguments that `creator` does not take.

    A creator that takes `**kwargs` checks them itself when the env is made.
    """
    for name in OWN_KEYS:
        if name in kwargs:
            raise ConfigError(f"env.kwargs.{name}", kwargs[name], f"set env.{name}")
    parameters = inspect.signature(creator).parameters
    for name, value in kwargs.items():
        _check_value(f"env.kwargs.{name}", value, parameters.get(name))
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    takes = sorted(set(parameters) - set(OWN_KEYS))
    for name, value in kwargs.items():
        allowed = f"{env_id} takes {', '.join(takes) or 'no arguments'}.{did_you_mean(name, takes)}"
        require(name in takes, f"env.kwargs.{name}", value, allowed)


def check_render_mode(env_id: str, creator: Any, mode: str | None) -> None:
    """Raises ConfigError on `env.render_mode` for a mode that neither `creator` nor Gymnasium offers."""
    if mode is None:
        return
    require(isinstance(mode, str) and bool(mode), "env.render_mode", mode, "null or text, e.g. rgb_array")
    metadata = getattr(creator, "metadata", None)
    own = metadata.get("render_modes") if isinstance(metadata, Mapping) else None
    if own is None:  # a function, which alone knows
        return
    offered = [*own, *(f"{each}_list" for each in own if each != "human" and not each.endswith("_list"))]
    if {"rgb_array", "rgb_array_list"} & set(own):
        offered.append("human")
    known = sorted(set(offered))
    advice = f"{env_id} has {', '.join(known) or 'none'}.{did_you_mean(mode, known)}"
    require(mode in known, "env.render_mode", mode, advice)


def _check_value(key: str, value: Any, parameter: inspect.Parameter | None) -> None:
    """Raises ConfigError for NaN, and for text, a list or a mapping where the env's own value is a number."""
    require(not _has_nan(value), key, value, "must not be NaN")
    default = None if parameter is None else parameter.default
    if isinstance(default, int | float) and not isinstance(default, bool):
        ok = value is None or not math.isnan(number(value))
        require(ok, key, value, f"must be a number, as the env's own {default:g} is")


def _has_nan(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_nan(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_has_nan(each) for each in value)
    return isinstance(value, float) and math.isnan(value)
