"""The numbers of a report as CSV files, unrounded, for other programs."""

import csv
import io
from collections.abc import Iterable
from math import isnan

from sac_lightning.report.results import Results

ESTIMATES = ("final_iqm", "final_mean", "area_mean")


def groups_csv(results: Results) -> str:
    """One row a group, with both ends of every interval."""
    head = ["env", "group", "runs", "counted"]
    head += [f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")]
    rows = (
        [env.env_id, each.group.label, len(each.group.runs), len(each.counted)]
        + [number for name in ESTIMATES for number in getattr(each, name)]
        for env in results.envs
        for each in env.groups
    )
    return _text(head, rows)


def runs_csv(results: Results) -> str:
    """One row a run; the scores of those that count."""
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
    return _text(["run", "status", "env", "seed", "group", "final_score", "area", "reason"], rows)


def _text(head: list[str], rows: Iterable[list[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(
        [["" if isinstance(cell, float) and isnan(cell) else cell for cell in row] for row in rows]
    )
    return text.getvalue()
