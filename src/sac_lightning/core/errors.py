"""ConfigError, an error meant for people, and the checks that raise it."""

import re
import shlex
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, requires
from math import nan
from numbers import Integral, Real
from os import PathLike
from typing import Any


def one_line(text: object) -> str:
    """Return `text`, such as an error's, without breaks of its lines."""
    return " ".join(str(text).split())


class ConfigError(ValueError):
    """A value that cannot work, in one line: the key, the value, what is allowed.

    Raised by every constructor that checks its arguments, so a program that uses the library and a
    person at the command line (exit status 2) read the same sentence.
    """

    def __init__(self, key: str, value: Any, allowed: str) -> None:
        self.key, self.value, self.allowed = key, value, allowed
        super().__init__(f"{key}={value}: {one_line(allowed)}")

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, Any, str]]:
        # Exceptions pickle by their message; launchers carry this one between processes.
        return ConfigError, (self.key, self.value, self.allowed)


def install(extra: str) -> str:
    """Return the command that installs the packages of `extra`: it works in a checkout too."""
    try:
        lines = [line.partition(";") for line in requires("sac-lightning") or []]
    except PackageNotFoundError:
        lines = []
    wanted = [name.strip() for name, _, marker in lines if re.search(rf"extra == .{extra}\W", marker)]
    return shlex.join(["pip", "install", *(wanted or [f"sac-lightning[{extra}]"])])


def require(ok: bool, key: str, value: Any, allowed: str) -> None:
    """Raise ConfigError unless `ok`. NaN fails every comparison, so write `ok` as what must be true."""
    if not ok:
        raise ConfigError(key, value, allowed)


def number(value: Any) -> float:
    """Return `value` if it is a number, else NaN, which fails every comparison."""
    return nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def whole(value: Any) -> float:
    """Return `value` if it is a whole number, else NaN, which fails every comparison."""
    return nan if isinstance(value, bool) or not isinstance(value, Integral) else int(value)


def as_whole(value: Any) -> Any:
    """Return `value` as an int if it is a float without a fraction (people write 1e5), else as it is.

    Beyond 2⁵³ a float no longer says which whole number is meant.
    """
    exact = isinstance(value, float) and abs(value) <= 2.0**53 and value.is_integer()
    return int(value) if exact else value


def names_path(value: Any) -> bool:
    """Whether `value` can be a file's or folder's name: text that is not empty, or a Path."""
    return isinstance(value, PathLike) or (isinstance(value, str) and bool(value.strip()))


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """Return ' Did you mean A or B?' for the nearest choices, three at most, or an empty string."""
    near = get_close_matches(value, list(choices), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""
