"""What every command shares: exit statuses, what people type, and what they see at the end."""

import os
import shlex
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.types import RunMode

from sac_lightning.core.errors import install, require

# Exit statuses.
DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
# What summary.json says of a run that is complete.
ENDED = ("done", "pruned")
# The variable that gives the ranks of a run the process that has started them.
FIRST_RANK = "SAC_LIGHTNING_FIRST_RANK"
SCRIPTS = ("train.py", "eval.py", "export.py", "report.py")
# What users of Hydra's Optuna sweeper type, and the same key here.
RENAMED = {
    "hydra.sweeper.n_trials": "hydra.sweeper.trials",
    "hydra.sweeper.n_jobs": "sweep.at_once",
    "hydra.sweeper.sampler.seed": "hydra.sweeper.seed",
    "hydra.sweeper.sampler.n_startup_trials": "hydra.sweeper.startup_trials",
}
# Hydra's launchers by their own names: only our groups divide the CPUs among the jobs.
LAUNCHERS = {
    **{name: name for name in ("basic", "joblib", "ray", "submitit_local")},
    "submitit_slurm": "submitit",
}
# Groups of entries, and the option that conf/train.yaml chooses.
ENTRIES = {"logger": "wandb", "callbacks": "default"}


class SweepEnded(Exception):
    """Raised when all jobs of a sweep have ended, and at least one of them with another status than 0."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def translated_overrides(arguments: Sequence[str]) -> list[str]:
    """`arguments` of train.py, where users of Hydra and of lightning-hydra-template have words of their own.

    `hydra/launcher=joblib` is `launcher=joblib`, `~logger` and `logger=null` are `logger=none`, and
    `+logger=csv` adds to the chosen loggers.
    """
    words: list[str] = []
    chosen = {group: [option] for group, option in ENTRIES.items()}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        group, is_list = key.lstrip("+~"), value.startswith("[")
        if key == "hydra/launcher" and value in LAUNCHERS:
            words.append(f"launcher={LAUNCHERS[value]}")
        elif group not in ENTRIES or ("," in value and not is_list):  # a,b are two jobs of a sweep
            words.append(f"{RENAMED.get(key, key)}{equals}{value}")
        else:
            options = [each.strip() for each in value.strip("[]").split(",")]
            options = ["none"] if key.startswith("~") or value == "null" else options
            chosen[group] = [*chosen[group], *options] if key.startswith("+") else options
            listed = ",".join(dict.fromkeys(chosen[group]))
            words = [each for each in words if each.partition("=")[0] != group]
            words.append(f"{group}=[{listed}]" if "," in listed else f"{group}={listed}")
    return words


def typed_path(value: str) -> Path:
    """`value`, relative to where the command was started."""
    path, start = Path(value).expanduser(), start_folder()
    return path if start == Path.cwd() else start / path


def start_folder() -> Path:
    """Where the command was started, also with hydra.job.chdir=true."""
    return Path(HydraConfig.get().runtime.cwd) if HydraConfig.initialized() else Path.cwd()


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


def format_number(value: float | None) -> str:
    """Write a number for a table."""
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def print_rows(title: str, rows: Mapping[str, str], below: Mapping[str, str] | None = None) -> None:
    """Print a table of two columns on stdout.

    Args:
        title: one line above it.
        rows: names and texts.
        below: names and texts with paths, each a line of its own that is never broken, so it can be copied.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), show_header=False)
    for key, value in rows.items():
        table.add_row(key, escape(value))
    console = Console(file=sys.stdout)
    console.print(table)
    width = max(map(len, below or {}), default=0)
    for key, value in (below or {}).items():
        console.print(f"{key:<{width}}  {value}", markup=False, highlight=False, soft_wrap=True)


def command_of(name: str, *arguments: str) -> str:
    """Return what to type for another command, as this one was typed: `python eval.py` or `sac-eval`."""
    started = Path(sys.argv[0])
    is_script = started.name in SCRIPTS
    words = ["python", str(started.with_name(f"{name}.py"))] if is_script else [f"sac-{name}"]
    return shlex.join([*words, *arguments])


def check_installed(key: str, value: str, package: str, extra: str) -> None:
    """Raise ConfigError unless `package`, which `key=value` needs, is installed; `extra` installs it."""
    reason = f"needs {package}, which is not installed: {install(extra)}"
    require(is_installed(package), key, value, reason)


def is_installed(package: str) -> bool:
    """Whether `package` can be imported."""
    # None in sys.modules is a package that import refuses.
    return sys.modules[package] is not None if package in sys.modules else find_spec(package) is not None


def rank_of(devices: Any) -> int:
    """The number of this process, from 0 on, among those of a run on several devices."""
    several = isinstance(devices, int) and devices > 1  # anything else is refused later
    return int(os.environ.get("LOCAL_RANK", "0")) if several else 0


def end_with_first_rank() -> None:
    """End this process soon after the one that has started it to train beside it.

    A rank that waits for another on a GPU, or has not yet met it, would never notice that it has ended.
    """
    first = os.environ.get(FIRST_RANK)
    if first is None or os.environ.get("LOCAL_RANK", "0") == "0":
        return

    def watch() -> None:
        while os.getppid() == int(first):
            time.sleep(1.0)
        os._exit(FAILED)

    threading.Thread(target=watch, daemon=True, name="first-rank").start()


def full_error() -> bool:
    """Return whether the person has set HYDRA_FULL_ERROR=1: then whole tracebacks are printed."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1" and "SAC_SHORT_ERROR" not in os.environ


def let_hydra_raise() -> None:
    """Keep Hydra from printing its own report and ending the process: its exceptions come to us."""
    if not full_error():
        os.environ["SAC_SHORT_ERROR"] = os.environ["HYDRA_FULL_ERROR"] = "1"


def load_frameworks() -> None:
    """Import PyTorch and Lightning; in a terminal a spinner says so, for the seconds that this takes."""
    name = "sac_lightning.training.module"
    if name in sys.modules or HydraConfig.get().mode == RunMode.MULTIRUN:
        return
    from sac_lightning.core.screen import screen

    with screen().status("loading PyTorch and Lightning"):
        import_module(name)
