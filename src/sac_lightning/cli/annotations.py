"""Whether plain values fit the annotations of a class that does not check them itself."""

import types
import typing
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin

from sac_lightning.core.errors import ConfigError, as_whole, number, whole

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
