"""Checking an env's id and arguments against Gymnasium's registry, without making the env."""

import inspect
import logging
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from numbers import Real
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, parse_env_id
from gymnasium.error import DependencyNotInstalled

from sac_lightning.core.errors import ConfigError, did_you_mean, require

logger = logging.getLogger(__name__)

# Where an env lives -> the extra of this package that installs what it needs.
EXTRAS = {"gymnasium.envs.mujoco": "mujoco", "gymnasium.envs.box2d": "box2d"}
ELSEWHERE = {
    "render_mode": "set env.render_mode",
    "max_episode_steps": "set env.max_episode_steps",
    "id": "set env.id",
}


def split_id(env_id: str) -> tuple[str | None, str]:
    """The module to import first and the id, of Gymnasium's "my_package:MyEnv-v0"; None of a plain id."""
    module, colon, rest = env_id.partition(":")
    return (module, rest) if colon else (None, env_id)


def check_id(env_id: str) -> EnvSpec:
    """The registered spec of `env_id`. Raises ConfigError on `env.id` with the nearest ids."""
    spec = gym.registry.get(env_id)
    if spec is None:
        near = near_ids(env_id)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(
            "env.id",
            env_id,
            f"Gymnasium knows no such id.{hint} If a package registers it, write env.id=PACKAGE:{env_id} "
            "or name it in env.imports",
        )
    # Ids that have moved to another package stay registered with a function that only raises.
    if getattr(spec.entry_point, "__module__", "") == "gymnasium.envs":
        raise ConfigError(
            "env.id", env_id, f"has left Gymnasium.{did_you_mean(newest(spec), [newest(spec)])}"
        )
    if spec.entry_point is None:
        raise ConfigError("env.id", env_id, "it exists as a vector env only; single envs are needed")
    return spec


def near_ids(env_id: str) -> list[str]:
    """At most three registered ids close to `env_id`, whatever its case, punctuation and version."""
    namespace, name = _namespace_and_name(env_id)
    by_key: dict[str, dict[str | None, str]] = {}
    for spec in gym.registry.values():
        by_key.setdefault(_key(spec.name), {})[spec.namespace] = newest(spec)
    same = by_key.get(_key(name), {})
    if namespace in same:
        return [same[namespace]]
    if same:
        return list(same.values())[:3]
    close = get_close_matches(_key(name), by_key, n=3, cutoff=0.6)
    return [by_key[key].get(namespace) or next(iter(by_key[key].values())) for key in close]


def newest(spec: EnvSpec) -> str:
    """The id of the newest registered version of the env that `spec` is a version of."""
    versions = [
        other
        for other in gym.registry.values()
        if (other.namespace, other.name) == (spec.namespace, spec.name)
    ]
    return max(versions, key=lambda other: other.version or 0).id


def _namespace_and_name(env_id: str) -> tuple[str | None, str]:
    try:
        namespace, name, _ = parse_env_id(env_id)
    except gym.error.Error:
        return None, env_id
    return namespace, name


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def check_installed(spec: EnvSpec) -> Any:
    """The class or function that makes the env. Raises ConfigError when what it needs is missing."""
    if not isinstance(spec.entry_point, str):
        return spec.entry_point
    module, _, name = spec.entry_point.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, DependencyNotInstalled) as error:
        raise missing_dependency(spec.id, module, error) from error


def missing_dependency(env_id: str, module: str, error: BaseException) -> ConfigError:
    """The error for an env of `module` that cannot be imported, with the command that helps."""
    extra = next((name for prefix, name in EXTRAS.items() if module.startswith(prefix)), None)
    if extra is None:
        return ConfigError("env.id", env_id, f"something it needs is not installed ({error})")
    return ConfigError(
        "env.id", env_id, f"needs {extra}, which is not installed: pip install 'sac-lightning[{extra}]'"
    )


def check_kwargs(env_id: str, creator: Any, kwargs: Mapping[str, Any]) -> None:
    """Raise ConfigError on `env.kwargs` for arguments that `creator` does not take.

    A creator that takes `**kwargs` answers for itself when the env is made.
    """
    for name, advice in ELSEWHERE.items():
        if name in kwargs:
            raise ConfigError(f"env.kwargs.{name}", kwargs[name], advice)
    parameters = inspect.signature(creator).parameters
    for name, value in kwargs.items():
        _check_value(f"env.kwargs.{name}", value, parameters.get(name))
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    takes = sorted(set(parameters) - set(ELSEWHERE))
    for name in kwargs:
        if name not in takes:
            raise ConfigError(
                f"env.kwargs.{name}",
                kwargs[name],
                f"{env_id} takes {', '.join(takes) or 'no arguments'}.{did_you_mean(name, takes)}",
            )


def check_render_mode(env_id: str, creator: Any, mode: str | None) -> None:
    """Raise ConfigError on `env.render_mode` for a mode that neither `creator` nor Gymnasium offers."""
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
    """Raise ConfigError for NaN, and for text, a list or a mapping where the env's own value is a number."""
    require(not _holds_nan(value), key, value, "must not be NaN")
    default = None if parameter is None else parameter.default
    if isinstance(default, int | float) and not isinstance(default, bool):
        told = f"must be a number, as the env's own {default:g} is"
        require(value is None or (isinstance(value, Real) and not isinstance(value, bool)), key, value, told)


def _holds_nan(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_nan(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_nan(each) for each in value)
    return isinstance(value, float) and value != value  # noqa: PLR0124 - NaN is what differs from itself


def hear_mujoco() -> None:
    """Send MuJoCo's warnings to `logging`.

    Left alone it prints them and appends them to MUJOCO_LOG.TXT in the working directory.
    """
    mujoco = sys.modules.get("mujoco")
    handler = getattr(mujoco, "get_mju_user_warning", None)
    if mujoco is not None and handler is not None and handler() is None:
        mujoco.set_mju_user_warning(_log_mujoco)


def _log_mujoco(message: str) -> None:
    # Deprecated words in Gymnasium's own model files are nothing a user can change.
    level = logging.DEBUG if "deprecated" in message else logging.WARNING
    logger.log(level, "MuJoCo: %s", message)
