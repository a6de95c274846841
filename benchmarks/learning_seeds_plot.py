"""Learning curves of one setting, a faint line for each seed, and their mean."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from tables import Row

from sac_lightning.core.plots import BLUE, STYLE


def draw_seeds(curves: list[Row], scores: list[Row], out: Path) -> None:
    """The evaluations of `curves` against env steps; `scores` say of how many episodes each is the mean."""
    seeds = sorted({int(row["seed"]) for row in curves})
    lines = {seed: [row for row in curves if int(row["seed"]) == seed] for seed in seeds}
    steps = [int(row["env_steps"]) for row in lines[seeds[0]]]
    returns = np.array([[float(row["return_mean"]) for row in lines[seed]] for seed in seeds])  # [seeds, T]
    experiment, episodes = scores[0]["experiment"], scores[0]["episodes"]
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2), dpi=150, layout="constrained")
        axes = figure.subplots()
        for each in returns:
            axes.plot(steps, each, color=BLUE, alpha=0.3, linewidth=1.0)
        mean = returns.mean(axis=0)
        axes.plot(steps, mean, color=BLUE, linewidth=2.0, marker=".", markersize=7, label="mean")
        axes.plot([], [], color=BLUE, alpha=0.3, linewidth=1.0, label=f"{len(seeds)} seeds")
        axes.annotate(
            f"{mean[-1]:.1f}".replace("-", "−"),
            (steps[-1], mean[-1]),
            xytext=(0, 8),
            textcoords="offset points",
            ha="right",
        )
        axes.set_xlim(0, steps[-1] * 1.02)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("env steps")
        axes.set_ylabel(f"return, mean of {episodes} episodes")
        axes.set_title(f"experiment={experiment}")
        axes.tick_params(length=0)
        axes.legend(loc="lower right", fontsize=9)
        FigureCanvasAgg(figure)
        figure.savefig(out, format="png")
