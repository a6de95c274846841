"""The tables of a report: text cells for HTML, Markdown and the terminal, and unrounded numbers as CSV."""

import csv
import io
from collections.abc import Iterable
from math import isnan
from typing import Any, NamedTuple

from sac_lightning_report.results import EnvResult, GroupResult, Results
from sac_lightning_report.runs import DONE, FAILED, Run
from sac_lightning_report.words import NONE, interval

ESTIMATES = ("final_iqm", "final_mean", "area_mean")


class Table(NamedTuple):
    """Cells by row; every row is as long as `head`. The columns in `numeric` are aligned to the right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()

    def without(self, name: str) -> "Table":
        """Return the same table without one column."""
        kept = [place for place, each in enumerate(self.head) if each != name]
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        numeric = frozenset(new for new, old in enumerate(kept) if old in self.numeric)
        return Table(tuple(self.head[place] for place in kept), rows, numeric)


def groups(env: EnvResult) -> Table:
    """One row per group, the best first."""
    head = ("group", "runs", "failed", "final score, IQM", "final score, mean", "area under curve")
    rows = tuple(
        (
            each.group.label,
            _number_of_runs(each),
            str(sum(run.status == FAILED for run in each.group.runs) or NONE),
            interval(each.final_iqm),
            interval(each.final_mean),
            interval(each.area_mean),
        )
        for each in env.groups
    )
    return Table(head, rows, frozenset({1, 2, 3, 4, 5}))


def improvement(env: EnvResult) -> Table:
    """Row against column: the chance that a run of the row's group scores higher."""
    names = [each.group.label for each in env.drawn]
    rows = tuple(
        (name, *(NONE if cell is None else interval(cell, 2) for cell in line))
        for name, line in zip(names, env.improvement, strict=True)
    )
    return Table(("scores higher than →", *names), rows, frozenset(range(1, len(names) + 1)))


def not_done(results: Results) -> Table:
    """Every run that is not done or not whole, and why."""
    rows = tuple(
        (
            run.name,
            run.status,
            _settings(results, run),
            "; ".join(filter(None, (run.reason, *run.problems))) or NONE,
        )
        for run in results.not_done
    )
    return Table(("run", "status", "settings", "reason"), rows)


def runs(results: Results) -> Table:
    """One row per run, in the order of their paths."""
    known = ("run", "status", "env", "seed", "settings")
    measured = ("env steps", "eval episodes", "final score", "best score", "α", "entropy")
    rows = tuple(_run(results, run) for run in results.runs)
    return Table((*known, *measured), rows, frozenset({3, 5, 6, 7, 8, 9, 10}))


def groups_csv(results: Results) -> str:
    """One row per group, with both ends of every interval."""
    head = ["env", "group", "runs", "counted"]
    head += [f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")]
    rows = (
        [env.env_id, each.group.label, len(each.group.runs), len(each.counted)]
        + [number for name in ESTIMATES for number in getattr(each, name)]
        for env in results.envs
        for each in env.groups
    )
    return _csv(head, rows)


def runs_csv(results: Results) -> str:
    """One row per run, with the scores of those that count."""
    found = {
        run.name: (each.group.label, final, area)
        for env in results.envs
        for each in env.groups
        for run, final, area in zip(each.counted, each.finals, each.areas, strict=True)
    }
    rows = (
        [run.name, run.status, run.env_id, run.seed, *found.get(run.name, ("", "", "")), run.reason]
        for run in results.runs
    )
    return _csv(["run", "status", "env", "seed", "group", "final_score", "area", "reason"], rows)


def _settings(results: Results, run: Run) -> str:
    """The overrides that distinguish a run from the others; those that were typed, where it has no config."""
    return " ".join(results.grouping.settings[run.name] if run.config else run.overrides) or NONE


def _number_of_runs(each: GroupResult) -> str:
    counted, total = len(each.counted), len(each.group.runs)
    return str(total) if counted == total else f"{counted} of {total}"


def _run(results: Results, run: Run) -> tuple[str, ...]:
    status = run.status if run.status == DONE or not run.reason else f"{run.status}: {run.reason}"
    measured = ("eval_return_mean", "best_return_mean", "alpha", "entropy")
    return (
        *(run.name, status, run.env_id, _cell(run.seed), _settings(results, run)),
        *(_cell(run.summary.get("env_steps")), _cell(run.eval_episodes)),
        *(_cell(run.summary.get(key)) for key in measured),
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return NONE if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else str(value)


def _csv(head: list[str], rows: Iterable[list[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(
        [["" if isinstance(cell, float) and isnan(cell) else cell for cell in row] for row in rows]
    )
    return text.getvalue()
