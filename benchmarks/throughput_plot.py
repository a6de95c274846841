"""The bar chart of throughput.py: medians with the range of the segments, and the limits as lines."""

import statistics
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sac_lightning.core.plots import BLUE, GREY, INK, MUTED, STYLE

# Under a number or a name, so that a line or a bar behind it does not strike it out.
ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}


def draw(speeds: dict[str, list[float]], env: str, limit: str, out: Path) -> None:
    """Draws a bar for each contestant: ours in blue, paler for the update alone.

    Names that begin with `limit` become dashed lines where they are near the bars.
    """
    bars = {name: values for name, values in speeds.items() if not name.startswith(limit)}
    most = 1.5 * max(statistics.median(values) for values in bars.values())
    limits = {
        name: values
        for name, values in speeds.items()
        if name.startswith(limit) and statistics.median(values) <= most  # farther ones would squeeze the bars
    }
    style: dict[str, object] = {**STYLE, "axes.grid.axis": "x"}
    with rc_context(style):
        figure = Figure(figsize=(7.6, 1.6 + 0.42 * len(bars)), dpi=150, layout="constrained")
        axes = figure.subplots()
        for place, (name, values) in enumerate(bars.items()):
            median = statistics.median(values)
            colour = BLUE if name.startswith("sac_lightning") else GREY
            around = [[median - min(values)], [max(values) - median]]
            alpha = 0.45 if "updates alone" in name else 1.0
            axes.barh(place, median, height=0.6, color=colour, alpha=alpha)
            axes.errorbar(median, place, xerr=around, color=INK, capsize=3, linewidth=1)
            axes.annotate(
                f"{median:.0f}",
                (max(values), place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                bbox=ON_WHITE,
            )
        for name, values in limits.items():
            median = statistics.median(values)
            axes.axvline(median, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2, zorder=0.5)
            axes.annotate(
                f"{name}: {median:.0f}",
                (median, 0.0),
                xycoords=("data", "axes fraction"),
                xytext=(-4, 4),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="bottom",
                fontsize=7,
                color=MUTED,
                bbox=ON_WHITE,
            )
        axes.set_yticks(range(len(bars)), list(bars))
        axes.invert_yaxis()
        axes.tick_params(length=0)
        axes.set_xlim(left=0)
        axes.margins(x=0.08)
        axes.set_xlabel("updates per second (pale: without an env)")
        axes.set_title(f"{env}: batch 256, networks 256×256")
        FigureCanvasAgg(figure)
        figure.savefig(out, format="png")
