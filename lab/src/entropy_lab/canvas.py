"""Draw all figures of the lab in one style: that of plots.py, with colours for the colour-blind too."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from entropy_lab.experiment import Table
from sac_lightning.core.files import write_atomically
from sac_lightning.core.plots import BLUE, GREY, INK, MUTED, ORANGE, STYLE

# Blue and orange of plots.py with three more of the Okabe-Ito family; all differ in lightness too.
GREEN, PURPLE, GOLD = "#009e73", "#9b4f96", "#e0a100"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GOLD)
TARGET: dict[str, Any] = {"color": INK, "linewidth": 1.2, "linestyle": (0, (5, 3))}
__all__ = ["BLUE", "COLOURS", "GOLD", "GREEN", "GREY", "INK", "MUTED", "ORANGE", "PURPLE", "TARGET"]


@contextmanager
def canvas(
    out: Path, size: tuple[float, float], rows: int, columns: int, **grid: Any
) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure and its axes `[rows, columns]`; write it to `out` as PNG when the block ends."""
    with rc_context(STYLE):
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **grid)
        for each in axes.flat:
            each.tick_params(length=0)
        yield figure, axes
        FigureCanvasAgg(figure)
        # No date or version inside: the same table gives the same bytes.
        write_atomically(out, lambda file: figure.savefig(file, format="png", metadata={"Software": None}))


def seed_band(axes: Axes, table: Table, key: str, colour: str, label: str) -> Table:
    """Draw the mean of column `key` over seeds with a band from the lowest seed to the highest.

    Returns the rows that were drawn: those in which the cell is not empty.
    """
    known = table.known(key)
    lines = known.by(key, "seed")  # [S, T]
    x = known.where(seed=known.distinct("seed")[0]).column("env_steps")
    if len(lines) > 1:
        axes.fill_between(x, lines.min(0), lines.max(0), color=colour, alpha=0.16, linewidth=0)
    axes.plot(x, lines.mean(0), color=colour, label=label, linewidth=2.0)
    return known


def env_steps(axes: Axes, last: float) -> None:
    """Make the x axis that of a run."""
    axes.set_xlim(0, last)
    axes.set_xlabel("env steps")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def log_axis(axes: Axes, axis: str = "y") -> None:
    """Make an axis logarithmic, with plain numbers."""
    getattr(axes, f"set_{axis}scale")("log")
    own = getattr(axes, f"{axis}axis")
    low, high = np.log10(getattr(axes, f"get_{axis}lim")())
    wide = high - low > 2.5
    own.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=9))
    own.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    own.set_minor_locator(NullLocator())


def note(axes: Axes, x: float, y: float, text: str, colour: str = INK, **style: Any) -> None:
    """Write a few words beside what they name, in its colour, on a background that keeps them legible."""
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.2}
    axes.text(x, y, text, color=colour, fontsize=9, bbox=box, **style)


def legend_above(figure: Figure, axes: Axes, columns: int) -> None:
    """Draw one legend for all panels, above them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, fontsize=9.5)


def _power(value: float) -> str:
    if 1e-3 <= value < 1e5:
        return f"{value:,.4g}"
    return f"$10^{{{round(float(np.log10(value)))}}}$"
