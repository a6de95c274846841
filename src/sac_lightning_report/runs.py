"""Read what runs left on disk: configs, curves, how each run ended and why."""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sac_lightning.core.errors import ConfigError
from sac_lightning.core.files import DamagedFile
from sac_lightning.core.yaml_text import LOADER, read_yaml_text

Column = NDArray[np.float64]

STEP, SCORE = "env_steps", "eval/return_mean"
ALPHA, ENTROPY, TARGET = "train/alpha", "train/entropy", "train/target_entropy"
METRICS = (SCORE, ALPHA, ENTROPY, TARGET)

RUN_FILES = frozenset({"config.yaml", "summary.json", "metrics.csv", "train.log"})
DONE, FAILED, PRUNED, UNFINISHED = "done", "failed", "pruned", "unfinished"
STOPPED = ("interrupted", "paused")
# A pruned trial was ended because it was behind: its score is that of a shorter training than the others'.
WITHOUT_RESULT = (FAILED, PRUNED)


@dataclass(frozen=True)
class Curve:
    """Finite `values` at increasing `steps`; both [T]."""

    steps: Column
    values: Column

    def __len__(self) -> int:
        """The number of points."""
        return len(self.steps)


EMPTY_CURVE = Curve(np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Curves:
    """What a report takes from one metrics.csv.

    Args:
        keys: the names of all its metrics.
        curves: the curves of METRICS that the file has, by name.
        rows: the number of rows that were read.
        dropped: the number of damaged rows.
    """

    keys: tuple[str, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    rows: int = 0
    dropped: int = 0

    def __getitem__(self, key: str) -> Curve:
        """The curve of a metric, empty where the run has none."""
        return self.curves.get(key, EMPTY_CURVE)


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
        env_id = env.get("id") if isinstance(env, Mapping) else None
        return str(env_id or self.summary.get("env_id") or "unknown env")

    @property
    def overrides(self) -> tuple[str, ...]:
        """The overrides that were typed, without the seed; empty where summary.json has none."""
        typed = self.summary.get("overrides")
        texts = [str(item) for item in typed] if isinstance(typed, list) else []
        return tuple(text for text in texts if text.partition("=")[0].lstrip("+") != "seed")

    @property
    def eval_episodes(self) -> int | None:
        """The episodes of each of its evaluations; None where neither file has the number."""
        episodes = self.config.get("eval_episodes", self.summary.get("eval_episodes"))
        is_count = isinstance(episodes, int) and not isinstance(episodes, bool) and episodes > 0
        return episodes if is_count else None

    @property
    def seed(self) -> Any:
        """Its seed; None where neither file has it."""
        return self.config.get("seed", self.summary.get("seed"))


def read_runs(folder: Path) -> list[Run]:
    """Read all runs at and below `folder`, failed and unfinished ones too, in the order of their paths.

    A file that cannot be read is named in its run's `problems`. Raises ConfigError when there is no run.
    """
    if not folder.is_dir():
        raise ConfigError("runs", folder, "is no folder: name a sweep's folder, or one with runs below it")
    paths = sorted(_run_folders(folder), key=lambda path: _numbers_first(path.relative_to(folder)))
    if not paths:
        raise ConfigError(
            "runs", folder, "contains no run: no config.yaml, metrics.csv or summary.json is below it"
        )
    return [_read_run(path, _name(path, folder)) for path in paths]


def read_curves(path: Path) -> Curves:
    """Read the columns METRICS of a metrics.csv, fast enough for a million rows.

    NaN and infinite cells are left out, and of a repeated step the last row counts. A row that is torn or
    has something else than numbers is dropped. Without the file all curves are empty. Raises ValueError
    when the first column is not `env_steps`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Curves()
    # What follows the last line's end was torn off while it was written.
    whole = data.rfind(b"\n") + 1
    lines = csv.reader(io.StringIO(data[:whole].decode(errors="replace"), newline=""))
    header = next(lines, [])
    if not header and whole == 0:
        return Curves(dropped=int(bool(data)))
    if header[:1] != [STEP]:
        raise ValueError(f"its first column is not {STEP}")
    kept = [cells for cells in lines if len(cells) == len(header)]
    torn = lines.line_num - 1 - len(kept) + int(whole < len(data))
    wanted = [key for key in METRICS if key in header]
    table, unreadable = _numbers(kept, [0, *(header.index(key) for key in wanted)])
    found = {key: _curve(table[0], column) for key, column in zip(wanted, table[1:], strict=True)}
    return Curves(tuple(header[1:]), found, table.shape[1], torn + unreadable)


def _numbers(rows: list[list[str]], places: list[int]) -> tuple[Column, int]:
    """The columns at `places`, [P, T], NaN for empty cells, and the number of rows that are not numbers."""
    try:
        return np.array([_column(rows, place) for place in places]).reshape(len(places), -1), 0
    except ValueError:
        good = [cells for cells in rows if _is_numeric(cells, places)]
        return _numbers(good, places)[0], len(rows) - len(good)


def _column(rows: list[list[str]], place: int) -> list[float]:
    nan = float("nan")
    return [float(cell) if (cell := cells[place]) else nan for cells in rows]


def _is_numeric(cells: list[str], places: list[int]) -> bool:
    try:
        return all(float(cells[place] or "nan") is not None for place in places)
    except ValueError:
        return False


def _curve(steps: Column, values: Column) -> Curve:
    known = np.isfinite(steps) & np.isfinite(values)
    steps, values = steps[known], values[known]
    if len(steps) > 1 and not (np.diff(steps) > 0).all():
        # From the end, so that the first of equals is the last written.
        steps, order = np.unique(steps[::-1], return_index=True)
        values = values[::-1][order]
    return Curve(steps, values)


def _run_folders(folder: Path) -> Iterator[Path]:
    for place, below, files in os.walk(folder):
        if RUN_FILES.intersection(files):
            below.clear()  # a run's own folders have thousands of files, and W&B's a config.yaml
            yield Path(place)


def _read_run(path: Path, name: str) -> Run:
    problems: list[str] = []
    config = _read_mapping(path / "config.yaml", _yaml, problems)
    summary = _read_mapping(path / "summary.json", _json, problems)
    status = str(summary.get("status", UNFINISHED))
    try:
        curves = read_curves(path / "metrics.csv")
    except (OSError, ValueError) as error:
        curves = Curves()
        problems.append(f"metrics.csv cannot be read: {error}")
    if curves.dropped:
        rows = "1 damaged row" if curves.dropped == 1 else f"{curves.dropped} damaged rows"
        problems.append(f"metrics.csv: {rows} left out")
    return Run(name, path, config, summary, curves, status, _reason(path, summary, status), tuple(problems))


def _read_mapping(path: Path, parse: Callable[[Path], Any], problems: list[str]) -> Mapping[str, Any]:
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
    """Why the run is not done, in one line; empty for a run that is done."""
    if status == UNFINISHED:
        damaged = (path / "summary.json").exists()
        return "" if damaged else "has no summary.json: it still runs, or it was killed"
    if status in STOPPED:
        return f"stopped before its end: resume={path} continues it"
    if status == PRUNED:
        return "ended early by the search"
    if status != FAILED:
        return ""
    error = str(summary.get("error") or "") or _last_error(path / "train.log")
    return " ".join(error.split()) or "no reason in summary.json or train.log"


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


def _numbers_first(path: Path) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]
