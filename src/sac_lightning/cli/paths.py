"""Paths as they are typed: any name works in Hydra's grammar, and stands where the command was started."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString


def typed_path(value: str) -> Path:
    """`value`, relative to where the command was started, also with hydra.job.chdir=true."""
    path = Path(value).expanduser()
    start = Path(HydraConfig.get().runtime.cwd) if HydraConfig.initialized() else Path.cwd()
    return path if start == Path.cwd() else start / path


def quoted(text: str) -> str:
    """`text` as a value of an override, whatever characters it has."""
    return QuotedString(text=text, quote=Quote.single).with_quotes()


def unquoted(value: str) -> str:
    """The path that `value` names: without its quotes, unless they belong to the name of a file."""
    if not _is_quoted(value) or _exists(value):
        return value
    return value[1:-1].replace(f"\\{value[0]}", value[0])


def quote_paths(arguments: Sequence[str], keys: Iterable[str], lists: bool = False) -> list[str]:
    """`arguments` with the paths of `keys` quoted; with `lists`, DIR,DIR is two of them.

    Spaces, commas, parentheses, quotes and equals signs are common in names of folders, and mean something
    else in Hydra's grammar.
    """
    return [_quote_path(each, tuple(keys), lists) for each in arguments]


def _quote_path(argument: str, keys: tuple[str, ...], lists: bool) -> str:
    key, equals, value = argument.partition("=")
    if not equals or key.lstrip("+") not in keys or value in ("", "null", "???"):
        return argument
    if not _exists(value):
        if _is_quoted(value) or "${" in value or value.startswith("["):
            return argument
        if lists and "," in value:
            parts = [part.strip() for part in value.split(",")]
            return f"{key}=[{','.join(part if _is_quoted(part) else quoted(part) for part in parts)}]"
    return f"{key}={quoted(value)}"


def _exists(value: str) -> bool:
    try:
        return Path(value).expanduser().exists()
    except (OSError, ValueError):  # such as a name that is too long
        return False


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
