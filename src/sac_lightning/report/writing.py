"""A report's files: one HTML page, Markdown, the figures as PNG and the numbers as CSV."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.files import write_atomically
from sac_lightning.report.differences import Options
from sac_lightning.report.figures import figures
from sac_lightning.report.look import drawn, save_png, svg
from sac_lightning.report.markdown import markdown
from sac_lightning.report.numbers import groups_csv, runs_csv
from sac_lightning.report.page import page
from sac_lightning.report.reading import Run, read_runs
from sac_lightning.report.results import Results, compute
from sac_lightning.report.words import CAPTIONS

FIGURES = "report"
LONGEST_NAME = 100


class Written(NamedTuple):
    """What was found and where it is told."""

    results: Results
    markdown: Path
    html: Path


def write_report(
    folders: Sequence[Path], out: Path, by: Sequence[str] = (), options: Options | None = None
) -> Written:
    """Report all runs below `folders` in OUT/report.html, OUT/report.md and OUT/report/ (PNG, CSV).

    Raises ConfigError, before anything is written, for a folder without runs, for runs without a common
    metric, and for a key of `by` that no config has.
    """
    results = compute(", ".join(map(str, folders)), _runs(folders), by, options or {})
    try:
        (out / FIGURES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("out", out, f"cannot be written ({error.strerror}): name another folder") from None
    # `out` may be a folder from anybody, and files are removed and written there.
    linked = (out / FIGURES).is_symlink()
    require(not linked, "out", out, f"its {FIGURES} is a link: remove it, or name another folder")
    for stale in (path for name in CAPTIONS for path in (out / FIGURES).glob(f"{name}-*.png")):
        stale.unlink()
    pictures: dict[str, dict[str, str]] = {}
    drawings: dict[str, dict[str, str]] = {}
    names = _file_names([env.env_id for env in results.envs])
    for env in results.envs:
        pictures[env.env_id], drawings[env.env_id] = {}, {}
        for name, figure in figures(env).items():
            file = f"{FIGURES}/{name}-{names[env.env_id]}.png"
            with drawn():
                save_png(figure, out / file)
                drawings[env.env_id][name] = svg(figure, CAPTIONS[name])
            pictures[env.env_id][name] = file
    told = Written(results, out / "report.md", out / "report.html")
    _write(told.markdown, markdown(results, pictures))
    _write(told.html, page(results, drawings))
    _write(out / FIGURES / "groups.csv", groups_csv(results))
    _write(out / FIGURES / "runs.csv", runs_csv(results))
    return told


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _file_names(env_ids: Sequence[str]) -> dict[str, str]:
    """A part of a file's name for each env id, which may be any text."""
    found: dict[str, str] = {}
    for env_id in env_ids:
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", env_id)[:LONGEST_NAME]
        found[env_id] = f"{name}-{len(found)}" if name in found.values() else name
    return found


def _runs(folders: Sequence[Path]) -> list[Run]:
    """Each run once; with several folders, their names stand before the runs'."""
    found: dict[Path, Run] = {}
    for folder in folders:
        for run in read_runs(folder):
            named = run if len(folders) == 1 else replace(run, name=str(run.path))
            found.setdefault(run.path.resolve(), named)
    return list(found.values())
