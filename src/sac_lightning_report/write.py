"""Write a report's files: one HTML page, Markdown, the figures as PNG and the numbers as CSV."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.files import write_atomically
from sac_lightning_report.figures import figures, save_png, svg
from sac_lightning_report.grouping import Options
from sac_lightning_report.pages import html, markdown
from sac_lightning_report.results import Results, compute
from sac_lightning_report.runs import Run, read_runs
from sac_lightning_report.tables import groups_csv, runs_csv
from sac_lightning_report.words import CAPTIONS

FOLDER = "report"
LONGEST_NAME = 100


class WrittenReport(NamedTuple):
    """The results and the two files that show them."""

    results: Results
    markdown: Path
    html: Path


def write_report(
    folders: Sequence[Path], out: Path, by: Sequence[str] = (), options: Options | None = None
) -> WrittenReport:
    """Report all runs below `folders` in OUT/report.html, OUT/report.md and OUT/report/ (PNG, CSV).

    Args:
        folders: run directories, sweeps, or any folders with runs below them.
        out: where the files are written.
        by: config keys to group by, such as `alpha.init`; none: everything that differs except the seed.
        options: names of config options, see `option_names`; None: groups are named by their classes.

    Raises:
        ConfigError: before anything is written, for a folder without runs, for runs without a common
            metric, and for a key of `by` that no config has.
    """
    results = compute(", ".join(map(str, folders)), _read(folders), by, options or {})
    folder = out / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("out", out, f"cannot be written ({error.strerror}): name another folder") from None
    # Anybody may have made `out`, and files are removed and written in its folder.
    require(not folder.is_symlink(), "out", out, f"its {FOLDER} is a link: remove it, or name another folder")
    for name in CAPTIONS:
        for stale in folder.glob(f"{name}-*.png"):
            stale.unlink()
    pictures: dict[str, dict[str, str]] = {}
    drawings: dict[str, dict[str, Markup]] = {}
    names = _file_names([env.env_id for env in results.envs])
    for env in results.envs:
        drawn = figures(env)
        pictures[env.env_id] = {name: f"{FOLDER}/{name}-{names[env.env_id]}.png" for name in drawn}
        for name, figure in drawn.items():
            save_png(figure, out / pictures[env.env_id][name])
        drawings[env.env_id] = {name: svg(figure, CAPTIONS[name]) for name, figure in drawn.items()}
    written = WrittenReport(results, out / "report.md", out / "report.html")
    _write(written.markdown, markdown(results, pictures))
    _write(written.html, html(results, drawings))
    _write(folder / "groups.csv", groups_csv(results))
    _write(folder / "runs.csv", runs_csv(results))
    return written


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _file_names(env_ids: Sequence[str]) -> dict[str, str]:
    """A part of a file's name for each env id, which may be any text."""
    found: dict[str, str] = {}
    for env_id in env_ids:
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", env_id)[:LONGEST_NAME]
        found[env_id] = f"{name}-{len(found)}" if name in found.values() else name
    return found


def _read(folders: Sequence[Path]) -> list[Run]:
    """Each run once; with several folders, a run's name is its whole path."""
    found: dict[Path, Run] = {}
    for folder in folders:
        for run in read_runs(folder):
            named = run if len(folders) == 1 else replace(run, name=str(run.path))
            found.setdefault(run.path.resolve(), named)
    return list(found.values())
