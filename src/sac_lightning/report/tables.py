"""The tables of a report as plain text cells: the same in Markdown, HTML and the terminal."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sac_lightning.report.reading import DONE, FAILED, Run
from sac_lightning.report.results import EnvResult, GroupResult, Results
from sac_lightning.report.statistics import Estimate

NONE = "–"
# Below this a bootstrap interval is narrower than the truth.
FEW = 5


class Table(NamedTuple):
    """Cells by row; every row is as long as `head`. Columns in `numeric` hold numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()

    def without(self, name: str) -> "Table":
        """The same table without one column."""
        kept = [place for place, each in enumerate(self.head) if each != name]
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        numeric = frozenset(new for new, old in enumerate(kept) if old in self.numeric)
        return Table(tuple(self.head[place] for place in kept), rows, numeric)


def groups(env: EnvResult) -> Table:
    """One row a group, the best first."""
    head = ("group", "runs", "failed", "final score, IQM", "final score, mean", "area under curve")
    rows = tuple(
        (
            each.group.label,
            _runs(each),
            str(each.number(FAILED) or NONE),
            interval(each.final_iqm),
            interval(each.final_mean),
            interval(each.area_mean),
        )
        for each in env.groups
    )
    return Table(head, rows, frozenset({1, 2, 3, 4, 5}))


def improvement(env: EnvResult) -> Table:
    """Row against column: how likely a run of the row's group scores higher."""
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
            settings(results, run),
            "; ".join(filter(None, (run.reason, *run.problems))) or NONE,
        )
        for run in results.not_done
    )
    return Table(("run", "status", "settings", "reason"), rows)


def runs(results: Results) -> Table:
    """One row a run, in the order of their paths."""
    head = (
        "run",
        "status",
        "env",
        "seed",
        "settings",
        "env steps",
        "eval episodes",
        "final score",
        "best score",
        "α",
        "entropy",
    )
    return Table(head, tuple(_run(results, run) for run in results.runs), frozenset({3, 5, 6, 7, 8, 9, 10}))


def settings(results: Results, run: Run) -> str:
    """The overrides that tell a run from the others."""
    return " ".join(results.grouping.settings[run.name] if run.config else run.overrides) or NONE


def best_overrides(results: Results, each: GroupResult) -> str:
    """What to type for a group's runs, as their summaries say it; else the settings that tell them apart."""
    typed = [run.overrides or results.grouping.settings[run.name] for run in each.group.runs]
    return " ".join(item for item in typed[0] if all(item in others for others in typed))


def against_next(env: EnvResult) -> str:
    """Whether the best group is told apart from the next, in a sentence; empty where there is no next."""
    if len(env.drawn) < 2:
        return ""
    told, name = env.improvement[0][1], env.drawn[1].group.label
    assert told is not None
    if not np.isfinite(told.low):
        return f"With one run in a group, nothing says whether it is better than {name}."
    chance = f"A run of it scores higher than one of {name} with probability {interval(told, 2)}"
    if told.low > 0.5:
        fewest = min(len(each.finals) for each in env.drawn[:2])
        return f"{chance}: it is better{f', though {fewest} runs are few' if fewest < FEW else ''}."
    if told.high < 0.5:
        return f"{chance}: its mean is higher for a few runs only, most score lower."
    return f"{chance}: the interval holds 0.5, so these runs do not tell which is better."


def interval(told: Estimate, digits: int | None = None) -> str:
    """`−135.3 [−138.1, −132.8]`, without brackets where there is no interval."""
    if not np.isfinite(told.value):
        return NONE
    if digits is None:
        scale = max(abs(part) for part in told if np.isfinite(part))
        digits = 0 if scale >= 1000 else 1 if scale >= 10 else 3
    if not np.isfinite(told.low):
        return _number(told.value, digits)
    return f"{_number(told.value, digits)} [{_number(told.low, digits)}, {_number(told.high, digits)}]"


def _runs(each: GroupResult) -> str:
    counted, total = len(each.counted), len(each.group.runs)
    return str(total) if counted == total else f"{counted} of {total}"


def _run(results: Results, run: Run) -> tuple[str, ...]:
    told = run.summary.get
    status = run.status if run.status == DONE or not run.reason else f"{run.status}: {run.reason}"
    return (
        *(run.name, status, run.env_id, _told(run.seed), settings(results, run)),
        *(_told(value) for value in (told("env_steps"), run.eval_episodes)),
        *(_told(told(key)) for key in ("eval_return_mean", "best_return_mean", "alpha", "entropy")),
    )


def _told(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return NONE if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else str(value)


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}".replace("-", "−")


def escape_cells(table: Table, escape: Any) -> Sequence[tuple[str, ...]]:
    """The rows with `escape` done to every cell."""
    return [tuple(escape(cell) for cell in row) for row in table.rows]
