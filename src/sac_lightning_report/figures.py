"""Draw the figures of one env: curves over env steps, and one number per group in rows."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from sac_lightning.core.files import write_atomically
from sac_lightning.core.plots import GRID, INK, MUTED, STYLE, log_axis
from sac_lightning_report.results import EnvResult, GroupResult
from sac_lightning_report.runs import ALPHA, ENTROPY, SCORE, TARGET
from sac_lightning_report.statistics import Band, Estimate

# Okabe and Ito's colours, without the yellow that is lost on white, and one violet. MARKERS repeat the
# difference for readers who do not see it.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6b4c9a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
EDGE = "#cbd2d9"
# CSS variables of templates/base.html, which a page sets for light and for dark.
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", EDGE: "--edge"} | {
    colour: f"--series-{place}" for place, colour in enumerate(SERIES)
}
# Narrow, so that the text can be read on a phone.
WIDTH, HEIGHT, DPI = 4.7, 3.1, 200
LONGEST_LINE, LEGEND_LINE = 50, 0.21
ROW_HEIGHT, LEAST_HEIGHT = 0.55, 2.6
# More lines of single runs would hide the mean.
MOST_SINGLE_RUNS = 30


def figures(env: EnvResult) -> dict[str, Figure]:
    """Draw all figures that the env's runs have numbers for, by name."""
    if not env.drawn:
        return {}
    drawn = env.drawn
    finals, areas = [each.finals for each in drawn], [each.areas for each in drawn]
    with figure_style():
        found = {
            "learning_curve": _learning_curve(env),
            "final_score": _scores(env, "Final score", [each.final_iqm for each in drawn], finals),
            "area": _scores(env, "Area under the curve", [each.area_mean for each in drawn], areas),
        }
        if len(drawn) > 1:
            found["improvement"] = _improvement(env)
        if any(env.bands[ALPHA]):
            found["alpha"] = _alpha(env)
        if any(env.bands[ENTROPY]):
            found["entropy"] = _entropy(env)
    return found


@contextmanager
def figure_style() -> Iterator[None]:
    """Set the style of a report's figures for the block."""
    own: dict[Any, Any] = {
        "font.size": 10.5,
        "axes.titlesize": 11.5,
        "svg.fonttype": "none",
        "svg.hashsalt": "report",
    }
    with rc_context({**STYLE, **own}):
        yield


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure on white."""
    FigureCanvasAgg(figure)
    with figure_style():
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=DPI))


def svg(figure: Figure, description: str) -> Markup:
    """Return the figure as an `<svg>` element with real text, no background, and CSS variables as colours.

    `description` is for screen readers.
    """
    FigureCanvasSVG(figure)
    out = io.StringIO()
    with figure_style():
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        text = re.sub(colour, f"var({variable})", text, flags=re.IGNORECASE)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1))


def _learning_curve(env: EnvResult) -> Figure:
    figure, axes = _panel(f"Learning curves, {env.env_id}")
    if sum(len(each.counted) for each in env.drawn) <= MOST_SINGLE_RUNS:
        for place, each in enumerate(env.drawn):
            for curve in (run.curves[SCORE] for run in each.counted):
                axes.plot(curve.steps, curve.values, color=SERIES[place], linewidth=0.7, alpha=0.35)
    _bands(axes, env.bands[SCORE])
    return _over_steps(figure, axes, env, env.score)


def _alpha(env: EnvResult) -> Figure:
    figure, axes = _panel(f"Temperature α, {env.env_id}")
    _bands(axes, env.bands[ALPHA])
    log_axis(axes, np.concatenate([each.mean for each in env.bands[ALPHA] if each is not None]))
    return _over_steps(figure, axes, env, "temperature α")


def _entropy(env: EnvResult) -> Figure:
    figure, axes = _panel(f"Entropy and its target, {env.env_id}")
    _bands(axes, env.bands[ENTROPY])
    for place, each in enumerate(env.bands[TARGET]):
        if each is not None:
            axes.plot(each.steps, each.mean, color=SERIES[place], linewidth=1.4, linestyle=(0, (1, 1.6)))
    return _over_steps(figure, axes, env, "entropy, nats")


def _scores(env: EnvResult, title: str, means: Sequence[Estimate], runs: Sequence[Sequence[float]]) -> Figure:
    figure, axes = _rows(env.drawn, f"{title}, {env.env_id}")
    for row, values in enumerate(runs):
        dots: dict[str, Any] = {"markerfacecolor": "none", "markersize": 5.5, "alpha": 0.8}
        axes.plot(values, [row] * len(values), "o", color=SERIES[row], **dots)
    _estimates(axes, means, range(len(means)))
    axes.set_xlabel(env.score)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure


def _improvement(env: EnvResult) -> Figure:
    best, *others = env.drawn
    figure, axes = _rows(others, f"How often the first scores higher, {env.env_id}", "than ")
    found = [each for each in env.improvement[0] if each is not None]
    for row in range(len(others)):
        axes.plot([0.5, 0.5], [row - 0.13, row + 0.3], color=MUTED, linewidth=1.4, zorder=1)
    _estimates(axes, found, range(1, len(found) + 1))
    axes.set_xlim(-0.03, 1.03)
    label = fill(f"probability that a run of {_short(best.group.label)} scores higher", 50)
    axes.set_xlabel(label, parse_math=False)
    return figure


def _panel(title: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure of one panel."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, parse_math=False)
    axes.tick_params(length=0)
    return figure, axes


def _rows(groups: Sequence[GroupResult], title: str, before: str = "") -> tuple[Figure, Axes]:
    """One row per group from the top, its label above its line."""
    figure, axes = _panel(title, max(1.35 + ROW_HEIGHT * len(groups), LEAST_HEIGHT))
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


def _bands(axes: Axes, bands: Sequence[Band | None]) -> None:
    """Mean and interval of each group; dashed where only some of its runs reach."""
    for place, each in enumerate(bands):
        if each is None:
            continue
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


def _estimates(axes: Axes, estimates: Sequence[Estimate], places: Sequence[int]) -> None:
    for row, (each, place) in enumerate(zip(estimates, places, strict=True)):
        if np.isfinite(each.low):
            axes.plot([each.low, each.high], [row, row], color=SERIES[place], linewidth=3.2, alpha=0.45)
        axes.plot(each.value, row, marker=MARKERS[place], color=SERIES[place], markersize=8, zorder=3)


def _over_steps(figure: Figure, axes: Axes, env: EnvResult, label: str) -> Figure:
    """The panel with its axes, env steps along the first and `label` beside the other, and its legend."""
    axes.set_ylabel(label)
    axes.set_xlabel("env steps")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(6))
    _legend(figure, env)
    return figure


def _legend(figure: Figure, env: EnvResult) -> None:
    """Colour and marker of each group, below the panel."""
    labels = [each.group.label for each in env.drawn]
    handles = [
        Line2D([], [], color=SERIES[place], marker=MARKERS[place], markersize=6, linewidth=2)
        for place in range(len(labels))
    ]
    columns = 2 if len(labels) > 1 and max(map(len, labels)) <= 26 else 1
    # A dollar sign would start a formula, and an underscore in front hides a label.
    wrapped = [fill(label.replace("$", r"\$").lstrip("_"), LONGEST_LINE) for label in labels]
    lines = sum(label.count("\n") + 1 for label in wrapped) / columns
    figure.set_size_inches(WIDTH, HEIGHT + LEGEND_LINE * lines)  # the panel keeps its height
    figure.legend(handles, wrapped, loc="outside lower left", ncols=columns, fontsize=9.5, handlelength=2.4)


def _short(label: str, most: int = 54) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"
