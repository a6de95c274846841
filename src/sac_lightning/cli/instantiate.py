"""Objects from the groups of a config; a mistake is named by the key that was typed."""

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin

from hydra.errors import InstantiationException
from hydra.utils import get_method, instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from sac_lightning.cli.targets import kind_of
from sac_lightning.core.errors import ConfigError, as_whole, did_you_mean, number, one_line, require, whole

REFERENCE = re.compile(r"^\$\{(\w+(?:\.\w+)*)\}$")
# Where constructors take any value, and fail with it later.
UNCHECKED = ("pytorch_lightning.", "torch.")


def build(config: DictConfig, key: str, *args: Any, **extra: Any) -> Any:
    """Make the object of the group `key`, or of an entry such as `callbacks.last`.

    Arguments that are objects themselves are made first, each under its own key: `${torso}` is `torso`.
    Call `check_targets` before: what `_target_` names is called.

    Args:
        config: the whole config.
        key: the dotted key of a mapping with a `_target_`.
        args: what an object with `_partial_: true` is called with, such as a head with the action space.
        extra: arguments that the config does not contain; they take precedence.

    Raises:
        ConfigError: the class, or one of its arguments, cannot be used.
    """
    node = OmegaConf.select(config, key)
    ok = isinstance(node, DictConfig) and isinstance(node.get("_target_"), str)
    require(ok, key, node, "must have a _target_, the class that is meant, and its arguments")
    # Once for all objects inside: OmegaConf takes its time to resolve.
    plain: Any = OmegaConf.to_container(node, resolve=True)
    return _make(config, key, plain, args, extra)


def _make(config: DictConfig, key: str, plain: dict[str, Any], args: Any, extra: dict[str, Any]) -> Any:
    refers = references(config, key)
    places = {name: refers.get(name, f"{key}.{name}") for name in map(str, plain) if name not in extra}
    parts = {}
    for name, place in places.items():
        value = plain[name]
        is_object = isinstance(value, dict) and "_target_" in value
        if is_object or (name in refers and kind_of(place) is not None):
            parts[name] = _make(config, place, value, (), {}) if is_object else build(config, place)
    plain = {name: value for name, value in plain.items() if name not in parts}
    if plain["_target_"].startswith(UNCHECKED):
        arguments = {name: value for name, value in plain.items() if not name.startswith("_")}
        check_annotations(get_method(plain["_target_"]), arguments, key)
    is_partial = plain.get("_partial_") is True
    with naming_errors(config, key):
        make = functools.partial(_constructor(plain), **{**parts, **extra})
        made = make if is_partial and not args else make(*args)
    kind = kind_of(key)
    if kind is not None and not is_partial and not isinstance(made, kind):
        allowed = f"must make a {kind.__name__}, and makes a {type(made).__name__}"
        raise ConfigError(key, plain["_target_"], allowed)
    return made


def _constructor(plain: dict[str, Any]) -> Callable[..., Any]:
    """Hydra's instantiate, which is slow, only where it is needed: for `_args_`, and objects in lists."""
    arguments = {name: value for name, value in plain.items() if name not in ("_target_", "_partial_")}
    if any(name.startswith("_") for name in arguments) or "_target_" in str(arguments):
        made: Callable[..., Any] = instantiate({**plain, "_partial_": True}, _convert_="all")
        return made
    return functools.partial(get_method(plain["_target_"]), **arguments)


def references(config: DictConfig, key: str) -> dict[str, str]:
    """Return the arguments of the group `key` that are written `${other.key}`, with that other key."""
    raw: Any = OmegaConf.to_container(OmegaConf.select(config, key), resolve=False)
    found = {name: REFERENCE.match(value) for name, value in raw.items() if isinstance(value, str)}
    return {str(name): match[1] for name, match in found.items() if match is not None}


@contextmanager
def naming_errors(config: DictConfig, key: str) -> Iterator[None]:
    """Turn the errors of a constructor into ConfigErrors that name the key that was typed.

    An argument that refers to another key is named by that one; any other one stands under `key`.
    """
    try:
        yield
    except ConfigError as error:
        first, dot, rest = error.key.partition(".")
        name = key.rpartition(".")[2]
        if error.key == key or error.key.startswith(f"{key}."):
            raise
        if first in (known := references(config, key)):
            named = f"{known[first]}{dot}{rest}"
            if dot:  # `replay.gamma` of data is `gamma` where replay says ${gamma}
                named = references(config, known[first]).get(rest, named)
        else:  # a part names itself in its errors: `torso.activation` of actor.torso
            named = f"{key}{dot}{rest}" if first == name else f"{key}.{error.key}"
        raise ConfigError(named, error.value, error.allowed) from None
    except (InstantiationException, TypeError, ValueError, ImportError, MisconfigurationException) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        target = OmegaConf.select(config, f"{key}._target_", default="?")
        raise ConfigError(key, target, one_line(cause) + _near_argument(str(cause), target)) from None


def _near_argument(reason: str, target: str) -> str:
    """What may be meant where `reason` says that `target` does not have an argument."""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", reason)
    if unknown is None:
        return ""
    try:
        known = inspect.signature(get_method(target)).parameters
    except (ImportError, ValueError, TypeError):  # such as a class of an extension module
        return ""
    return "." + did_you_mean(unknown[1], known)


PLAIN = (bool, int, float, str, list, dict, type(None))
TESTS: dict[Any, Callable[[Any], bool]] = {
    bool: lambda value: isinstance(value, bool),
    int: lambda value: whole(as_whole(value)) == value,
    float: lambda value: number(value) == value,
    str: lambda value: isinstance(value, str),
    Path: lambda value: isinstance(value, str),
    PathLike: lambda value: isinstance(value, str),
}


def check_annotations(target: Callable[..., Any], arguments: Mapping[str, Any], key: str) -> None:
    """Raise ConfigError for an argument that does not fit `target`'s annotation of it, named `key.NAME`."""
    function = cast(Any, target).__init__ if isinstance(target, type) else target
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # annotations that need what is not installed: then the class answers for itself
        return
    for name, value in arguments.items():
        if name in hints and not fits(value, hints[name]):
            raise ConfigError(f"{key}.{name}", value, f"must be {_shown(hints[name])}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value fits; what is no plain value, or no plain hint, is not judged."""
    origin = get_origin(hint)
    if not isinstance(value, PLAIN) or hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in get_args(hint))
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in get_args(hint))
    kind = origin or hint
    if kind in TESTS:
        return TESTS[kind](value)
    return isinstance(value, kind) if isinstance(kind, type) else True


def _shown(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_shown(each) for each in get_args(hint))
    if origin is Literal:
        return " or ".join(map(str, get_args(hint)))
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
    return words.get(hint, getattr(hint, "__name__", str(hint)))
