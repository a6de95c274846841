"""Learning curves and temperatures of discrete_targets: one column a task, one colour a rule."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from tables import Row

from sac_lightning.core.plots import STYLE

COLOURS = ("#2563a8", "#1b9e77", "#d9a028", "#c2410c", "#7c3aed", "#64748b")


def draw(rows: list[Row], out: Path) -> None:
    """Means over seeds, with bands from the lowest to the highest seed."""
    split = [(*_task_and_rule(row), row) for row in rows]
    tasks = list(dict.fromkeys(task for task, _, _ in split))
    rules = list(dict.fromkeys(rule for _, rule, _ in split))
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2 * len(tasks), 6.4), dpi=150, layout="constrained")
        grid = figure.subplots(2, len(tasks), sharex="col", squeeze=False)
        for column, task in enumerate(tasks):
            for rule, colour in zip(rules, COLOURS, strict=False):
                own = [row for t, r, row in split if (t, r) == (task, rule)]
                _band(grid[0, column], own, "return_mean", colour, rule.replace("-", " "))
                _band(grid[1, column], own, "alpha", colour, rule)
            seeds = len({row["seed"] for t, _, row in split if t == task})
            label = f": mean and range of {seeds} seeds" if seeds > 1 else ", one seed"
            grid[0, column].set_title(f"{task}{label}")
            grid[1, column].set_yscale("log")
            grid[1, column].set_xlabel("env steps")
            grid[1, column].xaxis.set_major_formatter(EngFormatter(sep=""))
        grid[0, 0].set_ylabel("return of an evaluation")
        grid[1, 0].set_ylabel("temperature α")
        grid[0, 0].legend(fontsize=9)
        figure.align_ylabels()
        FigureCanvasAgg(figure)
        temporary = out.with_name(f".{out.name}.tmp")
        figure.savefig(temporary, format="png")
    temporary.replace(out)


def _task_and_rule(row: Row) -> tuple[str, str]:
    task, _, rule = row["variant"].partition("_")
    return task, rule


def _band(axes: Axes, rows: list[Row], key: str, colour: str, label: str) -> None:
    by_step: dict[int, list[float]] = {}
    for row in rows:
        if row[key]:
            by_step.setdefault(int(row["env_steps"]), []).append(float(row[key]))
    if not by_step:
        return
    steps = sorted(by_step)
    low, mean, high = (np.array([f(by_step[step]) for step in steps]) for f in (np.min, np.mean, np.max))
    axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(steps, mean, color=colour, linewidth=1.8, label=label)
