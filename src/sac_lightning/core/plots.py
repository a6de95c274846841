"""Two pictures of a run, drawn from its metrics against env steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from sac_lightning.core.files import write_atomically

Column = NDArray[np.float64]
Metrics = Mapping[str, Column]

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, GREY = "#2563a8", "#d9662b", "#9aa5b1"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.edgecolor": "#cbd2d9",
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
}
# Beyond these many points a line needs no markers to be seen.
MARKED_POINTS = 30


def learning_curve(metrics: Metrics, out: Path, title: str) -> None:
    """Draw the rollout return, faint, and the evaluation return ± one standard deviation, to a PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2), dpi=150, layout="constrained")
        axes = figure.subplots()
        _line(axes, metrics, "rollout/return_mean", "rollout", color=GREY, linewidth=1.0, alpha=0.8)
        keys = "env_steps", "eval/return_mean", "eval/return_std"
        steps, mean, std = (_column(metrics, key) for key in keys)
        known = np.isfinite(mean) & np.isfinite(std)
        steps, mean, std = steps[known], mean[known], std[known]
        if len(steps) > 1:
            axes.fill_between(steps, mean - std, mean + std, color=BLUE, alpha=0.18, linewidth=0)
        elif len(steps):
            axes.errorbar(steps, mean, yerr=std, color=BLUE, alpha=0.5, capsize=3, linewidth=1.2)
        _line(axes, metrics, "eval/return_mean", _evaluation_label(metrics), color=BLUE, linewidth=2.0)
        axes.set_ylabel("return of an episode")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.set_title(title, parse_math=False)
        _finish(axes, metrics)
        _save(figure, out)


def temperature(metrics: Metrics, out: Path, title: str) -> None:
    """Draw α on a log axis above the entropy and its target, to a PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.2), dpi=150, layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        _line(top, metrics, "train/alpha", "temperature α", color=ORANGE, linewidth=2.0)
        log_axis(top, _column(metrics, "train/alpha"))
        top.set_ylabel("temperature α")
        top.set_title(title, parse_math=False)
        _finish(top, metrics, is_lowest=False, has_legend=False)
        _line(bottom, metrics, "train/entropy", "entropy", color=BLUE, linewidth=2.0)
        target = {"color": INK, "linewidth": 1.3, "linestyle": (0, (5, 3))}
        _line(bottom, metrics, "train/target_entropy", "target", **target)
        bottom.set_ylabel("entropy, nats")
        bottom.yaxis.set_major_locator(MaxNLocator(6))
        _finish(bottom, metrics)
        figure.align_ylabels()
        _save(figure, out)


def _evaluation_label(metrics: Metrics) -> str:
    known = _column(metrics, "eval/episodes")
    known = known[np.isfinite(known)]
    if not known.size:  # a run from before they were logged
        return "evaluation, mean ± std"
    return f"evaluation, mean ± std of {episodes(known.min(), known.max())}"


def episodes(fewest: float, most: float) -> str:
    """`10 episodes`, or `5 to 10 episodes`."""
    number = f"{most:.0f}" if fewest == most else f"{fewest:.0f} to {most:.0f}"
    return f"{number} episode{'' if most == 1 else 's'}"


def _column(metrics: Metrics, key: str) -> Column:
    missing = np.full(len(metrics["env_steps"]), np.nan)
    return np.asarray(metrics.get(key, missing), dtype=np.float64)


def _line(axes: Axes, metrics: Metrics, key: str, label: str, **style: Any) -> None:
    """The finite points of one column, joined across the rows that do not have it."""
    y = _column(metrics, key)
    known = np.isfinite(y)
    if not known.any():
        return
    few = known.sum() <= MARKED_POINTS
    marker = "." if known.sum() == 1 or (few and style.get("linestyle") is None) else ""
    x = _column(metrics, "env_steps")[known]
    axes.plot(x, y[known], marker=marker, markersize=7, label=label, **style)


def log_axis(axes: Axes, values: Column) -> None:
    """A log axis at least one factor of ten tall; a linear one where no value is positive."""
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return
    low, high = float(np.log10(positive.min())), float(np.log10(positive.max()))
    spare = max((1.0 - (high - low)) / 2, 0.06 * (high - low))
    axes.set_yscale("log")
    axes.set_ylim(10 ** (low - spare), 10 ** (high + spare))
    span = high - low + 2 * spare
    subs = (1.0, 2.0, 5.0) if span < 2.5 else (1.0, 3.0) if span < 4.5 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _finish(axes: Axes, metrics: Metrics, *, is_lowest: bool = True, has_legend: bool = True) -> None:
    axes.tick_params(length=0)
    steps = _column(metrics, "env_steps")
    last = float(steps.max()) if steps.size else 0.0
    axes.set_xlim(0, max(last * 1.02, 1.0))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if is_lowest:
        axes.set_xlabel("env steps")
    if not axes.has_data():
        axes.text(0.5, 0.5, "nothing logged yet", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set_yticks([])
    elif has_legend:
        axes.legend(loc="best", fontsize=9)


def _save(figure: Figure, out: Path) -> None:
    FigureCanvasAgg(figure)
    write_atomically(Path(out), lambda temporary: figure.savefig(temporary, format="png"))
