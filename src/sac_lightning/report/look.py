"""How every figure of a report looks: colours that all eyes can tell apart, and its two file forms."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sac_lightning.core.files import write_atomically
from sac_lightning.core.plots import GRID, INK, MUTED, STYLE

# Okabe and Ito's, without the yellow that is lost on white, and one violet; for dark pages, lighter ones.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6b4c9a")
SERIES_ON_DARK = ("#4aa8e0", "#ff8f4a", "#33c79d", "#e79fc6", "#9ad6f7", "#f5bf45", "#b096e6")
# A second sign beside the colour.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
EDGE = "#cbd2d9"
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", EDGE: "--edge"} | {
    colour: f"--series-{place}" for place, colour in enumerate(SERIES)
}
# Narrow, so that its text is still read on a phone.
WIDTH, HEIGHT, DPI = 4.7, 3.1, 200
LONGEST_LINE, LEGEND_LINE = 50, 0.21


@contextmanager
def drawn() -> Iterator[None]:
    """The style of a report's figures."""
    own: dict[Any, Any] = {
        "font.size": 10.5,
        "axes.titlesize": 11.5,
        "svg.fonttype": "none",
        "svg.hashsalt": "report",
    }
    with rc_context({**STYLE, **own}):
        yield


def panel(title: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure of one panel."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, parse_math=False)
    axes.tick_params(length=0)
    return figure, axes


def legend(figure: Figure, labels: Sequence[str]) -> None:
    """Colour and marker of each label, below the panel."""
    handles = [
        Line2D([], [], color=SERIES[place], marker=MARKERS[place], markersize=6, linewidth=2)
        for place in range(len(labels))
    ]
    columns = 2 if len(labels) > 1 and max(map(len, labels)) <= 26 else 1
    wrapped = [fill(_plain(label), LONGEST_LINE) for label in labels]
    lines = sum(label.count("\n") + 1 for label in wrapped) / columns
    figure.set_size_inches(WIDTH, HEIGHT + LEGEND_LINE * lines)  # the panel keeps its height
    figure.legend(handles, wrapped, loc="outside lower left", ncols=columns, fontsize=9.5, handlelength=2.4)


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure on white."""
    FigureCanvasAgg(figure)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=DPI))


def svg(figure: Figure, told: str) -> str:
    """The figure as an `<svg>` element with real text, no background, and colours that a page may change.

    `told` is what a screen reader says of it.
    """
    FigureCanvasSVG(figure)
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        text = re.sub(colour, f"var({variable})", text, flags=re.IGNORECASE)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{_attribute(told)}"', 1)


def _plain(label: str) -> str:
    # A dollar sign would begin a formula, and an underscore in front hides a label.
    return label.replace("$", r"\$").lstrip("_")


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
