"""The figures of one env: curves over env steps, and one number a group in rows."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from sac_lightning.core.plots import INK, MUTED, log_axis
from sac_lightning.report.curves import ALPHA, ENTROPY, SCORE, TARGET
from sac_lightning.report.look import MARKERS, SERIES, drawn, legend, panel
from sac_lightning.report.results import EnvResult, GroupResult
from sac_lightning.report.statistics import Band, Estimate

# With more runs than these, single ones would hide the mean.
MOST_SINGLE_RUNS = 30
ROW_HEIGHT, LEAST_HEIGHT = 0.55, 2.6


def figures(env: EnvResult) -> dict[str, Figure]:
    """All figures that the env's runs have numbers for, by name."""
    if not env.drawn:
        return {}
    with drawn():
        found = {
            "learning_curve": _learning_curve(env),
            "final_score": _scores(env, "Final score", [each.final_iqm for each in env.drawn], _finals(env)),
            "area": _scores(env, "Area under the curve", [each.area_mean for each in env.drawn], _areas(env)),
        }
        if len(env.drawn) > 1:
            found["improvement"] = _improvement(env)
        if any(env.bands[ALPHA]):
            found["alpha"] = _alpha(env)
        if any(env.bands[ENTROPY]):
            found["entropy"] = _entropy(env)
    return found


def _learning_curve(env: EnvResult) -> Figure:
    figure, axes = panel(f"Learning curves, {env.env_id}")
    _single_runs(axes, env)
    for place, each in enumerate(env.bands[SCORE]):
        _band(axes, each, place)
    axes.set_ylabel(env.score)
    _steps_axis(axes)
    legend(figure, _labels(env))
    return figure


def _alpha(env: EnvResult) -> Figure:
    figure, axes = panel(f"Temperature α, {env.env_id}")
    for place, each in enumerate(env.bands[ALPHA]):
        _band(axes, each, place)
    log_axis(axes, np.concatenate([each.mean for each in env.bands[ALPHA] if each is not None]))
    axes.set_ylabel("temperature α")
    _steps_axis(axes)
    legend(figure, _labels(env))
    return figure


def _entropy(env: EnvResult) -> Figure:
    figure, axes = panel(f"Entropy and its target, {env.env_id}")
    for place, each in enumerate(env.bands[ENTROPY]):
        _band(axes, each, place)
    for place, each in enumerate(env.bands[TARGET]):
        if each is not None:
            axes.plot(each.steps, each.mean, color=SERIES[place], linewidth=1.4, linestyle=(0, (1, 1.6)))
    axes.set_ylabel("entropy, nats")
    _steps_axis(axes)
    legend(figure, _labels(env))
    return figure


def _single_runs(axes: Axes, env: EnvResult) -> None:
    if sum(len(each.counted) for each in env.drawn) > MOST_SINGLE_RUNS:
        return
    for place, each in enumerate(env.drawn):
        for curve in (run.curves[SCORE] for run in each.counted):
            axes.plot(curve.steps, curve.values, color=SERIES[place], linewidth=0.7, alpha=0.35)


def _band(axes: Axes, each: Band | None, place: int) -> None:
    """Interval and mean; dashed where only some of the runs reach."""
    if each is None:
        return
    colour, full = SERIES[place], each.is_full
    if each.runs > 1:
        axes.fill_between(each.steps, each.low, each.high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(each.steps, np.where(full, each.mean, np.nan), color=colour, linewidth=2.0)
    if not full.all():
        axes.plot(each.steps, each.mean, color=colour, linewidth=1.2, linestyle=(0, (4, 2)))
    known = np.flatnonzero(np.isfinite(each.mean))
    if known.size:
        last = known[-1]
        axes.plot(each.steps[last], each.mean[last], marker=MARKERS[place], color=colour, markersize=6)


def _scores(env: EnvResult, title: str, told: Sequence[Estimate], runs: Sequence[Sequence[float]]) -> Figure:
    figure, axes = _rows(env.drawn, f"{title}, {env.env_id}")
    for row, values in enumerate(runs):
        dots: dict[str, Any] = {"markerfacecolor": "none", "markersize": 5.5, "alpha": 0.8}
        axes.plot(values, [row] * len(values), "o", color=SERIES[row], **dots)
    _estimates(axes, told, range(len(told)))
    axes.set_xlabel(env.score)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure


def _improvement(env: EnvResult) -> Figure:
    best, *others = env.drawn
    figure, axes = _rows(others, f"How often the best scores higher, {env.env_id}", "than ")
    found = [each for each in env.improvement[0] if each is not None]
    for row in range(len(others)):
        axes.plot([0.5, 0.5], [row - 0.13, row + 0.3], color=MUTED, linewidth=1.4, zorder=1)
    _estimates(axes, found, range(1, len(found) + 1))
    axes.set_xlim(-0.03, 1.03)
    told = fill(f"probability that a run of {_short(best.group.label)} scores higher", 50)
    axes.set_xlabel(told, parse_math=False)
    return figure


def _rows(groups: Sequence[GroupResult], title: str, before: str = "") -> tuple[Figure, Axes]:
    """One row a group from the top, its label above its line."""
    figure, axes = panel(title, max(1.35 + ROW_HEIGHT * len(groups), LEAST_HEIGHT))
    axes.set_ylim(len(groups) - 0.5, -0.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    for row, each in enumerate(groups):
        axes.text(
            *(0.0, row - 0.3, _short(f"{before}{each.group.label}")),
            transform=axes.get_yaxis_transform(),
            fontsize=9.5,
            color=INK,
            va="center",
            parse_math=False,
        )
    return figure, axes


def _estimates(axes: Axes, told: Sequence[Estimate], places: Sequence[int]) -> None:
    for row, (each, place) in enumerate(zip(told, places, strict=True)):
        if np.isfinite(each.low):
            axes.plot([each.low, each.high], [row, row], color=SERIES[place], linewidth=3.2, alpha=0.45)
        axes.plot(each.value, row, marker=MARKERS[place], color=SERIES[place], markersize=8, zorder=3)


def _steps_axis(axes: Axes) -> None:
    axes.set_xlabel("env steps")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(6))


def _labels(env: EnvResult) -> list[str]:
    return [each.group.label for each in env.drawn]


def _finals(env: EnvResult) -> list[tuple[float, ...]]:
    return [each.finals for each in env.drawn]


def _areas(env: EnvResult) -> list[tuple[float, ...]]:
    return [each.areas for each in env.drawn]


def _short(label: str, most: int = 54) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"
