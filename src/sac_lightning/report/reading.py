"""What runs left on disk: their configs, how they ended and why."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sac_lightning.core.errors import ConfigError
from sac_lightning.core.files import DamagedFile
from sac_lightning.core.yaml_text import LOADER, read_yaml_text
from sac_lightning.report.curves import NO_CURVES, Curves, read_curves

MARKS = frozenset({"config.yaml", "summary.json", "metrics.csv", "train.log"})
DONE, FAILED, PRUNED, UNFINISHED = "done", "failed", "pruned", "unfinished"
STOPPED = ("interrupted", "paused")
# A pruned trial was ended because it was behind: its score is that of a shorter training than the others'.
WITHOUT_RESULT = (FAILED, PRUNED)


@dataclass(frozen=True)
class Run:
    """One run directory. `name` is its path below the folder that was asked for."""

    name: str
    path: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    curves: Curves
    status: str
    reason: str = ""
    problems: tuple[str, ...] = ()

    @property
    def env_id(self) -> str:
        """The env that it trained on."""
        env = self.config.get("env")
        told = env.get("id") if isinstance(env, Mapping) else None
        return str(told or self.summary.get("env_id") or "unknown env")

    @property
    def overrides(self) -> tuple[str, ...]:
        """What was typed for it, but for the seed; empty where summary.json does not say."""
        told = self.summary.get("overrides")
        texts = [str(item) for item in told] if isinstance(told, list) else []
        return tuple(text for text in texts if text.partition("=")[0].lstrip("+") != "seed")

    @property
    def eval_episodes(self) -> int | None:
        """The episodes of each of its evaluations, None where nothing says it."""
        told = self.config.get("eval_episodes", self.summary.get("eval_episodes"))
        return told if isinstance(told, int) and not isinstance(told, bool) and told > 0 else None

    @property
    def seed(self) -> Any:
        """Its seed, None where nothing says it."""
        return self.config.get("seed", self.summary.get("seed"))


def read_runs(folder: Path) -> list[Run]:
    """All runs at and below `folder`, failed and unfinished ones too, in the order of their paths.

    What cannot be read of a run is told in its `problems`. Raises ConfigError when there is no run.
    """
    if not folder.is_dir():
        raise ConfigError("runs", folder, "is no folder: name a sweep's folder, or one with runs below it")
    paths = sorted(_run_folders(folder), key=lambda path: _natural(path.relative_to(folder)))
    if not paths:
        raise ConfigError(
            "runs", folder, "holds no run: no config.yaml, metrics.csv or summary.json is below it"
        )
    return [_read(path, _name(path, folder)) for path in paths]


def _run_folders(folder: Path) -> Iterator[Path]:
    for place, below, files in os.walk(folder):
        if MARKS.intersection(files):
            below.clear()  # a run's own folders hold thousands of files, and W&B's a config.yaml
            yield Path(place)


def _read(path: Path, name: str) -> Run:
    problems: list[str] = []
    config = _mapping(path / "config.yaml", _yaml, problems)
    summary = _mapping(path / "summary.json", _json, problems)
    status = str(summary.get("status", UNFINISHED))
    try:
        curves = read_curves(path / "metrics.csv")
    except (OSError, ValueError) as error:
        curves = NO_CURVES
        problems.append(f"metrics.csv cannot be read: {error}")
    if curves.dropped:
        problems.append(f"metrics.csv: {_count(curves.dropped, 'damaged row')} left out")
    return Run(name, path, config, summary, curves, status, _reason(path, summary, status), tuple(problems))


def _mapping(path: Path, parse: Any, problems: list[str]) -> Mapping[str, Any]:
    """The file's content, empty where there is none or where it is damaged."""
    try:
        content = parse(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError, DamagedFile):
        content = None
    if isinstance(content, dict):
        return content
    problems.append(f"{path.name} is damaged")
    return {}


def _yaml(path: Path) -> Any:
    return yaml.load(read_yaml_text(path), LOADER)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _reason(path: Path, summary: Mapping[str, Any], status: str) -> str:
    """Why the run is not done, in one line."""
    if status == UNFINISHED:
        damaged = (path / "summary.json").exists()
        return "" if damaged else "has no summary.json: it still runs, or it was killed"
    if status in STOPPED:
        return f"stopped before its end: resume={path} goes on with it"
    if status == PRUNED:
        return "ended early by the search"
    if status != FAILED:
        return ""
    told = str(summary.get("error") or "") or _last_error(path / "train.log")
    return " ".join(told.split()) or "neither summary.json nor train.log says why"


def _last_error(log: Path) -> str:
    """The message of the last error in a train.log, or the last line of its traceback."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line for line in lines if re.search(r"^\S+ \S+ (ERROR|CRITICAL) ", line)]
    if errors:
        return re.sub(r"^\S+ \S+ \w+ \S+: ", "", errors[-1]).removeprefix("training failed: ")
    return lines[-1] if any(line.startswith("Traceback") for line in lines) else ""


def _name(path: Path, folder: Path) -> str:
    name = str(path.relative_to(folder))
    return path.resolve().name if name == "." else name


def _natural(path: Path) -> list[tuple[int, str]]:
    """2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
