"""Return after 10, 30 and 60 minutes of training on this machine, for the recipes below and other libraries.

    python benchmarks/minutes.py --envs halfcheetah hopper --seeds 0 1 2
    python benchmarks/minutes.py --recipes sac fast sb3_sac sbx_crossq --minutes 10 --seeds 0 --jobs 2

Every evaluation of 20 episodes is a row of benchmarks/results/minutes.csv, from which minutes_summary.csv and
minutes.png come. Compiling counts, evaluations do not. A complete run is not made again, and one of ours goes
on where it was stopped. Other libraries run in .venv-bench, which `make bench` sets up.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from campaign import PEERS, CampaignRuns
from campaign_page import draw_seeds
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from recipes import COLUMNS, Point, Run, Runs, all_runs, parser_of
from tables import Table

from sac_lightning.core.plots import STYLE
from sac_lightning_report.runs import Curve
from sac_lightning_report.statistics import interquartile_mean


def _sizes(actor: str, critic: str) -> tuple[str, str]:
    return f"actor.hidden_sizes={actor}", f"critic.hidden_sizes={critic}"


NORMALIZED = ("normalization/obs=running", "normalization/reward=return_variance", "torso=layer_norm")
# All of SAC's size: with the networks that were published, none of the others is as fast on a CPU.
RECIPES: dict[str, tuple[str, ...]] = {
    "sac": (),
    "sac_bf16": ("precision=bf16-mixed",),
    "sac_3e-4": ("lr=3e-4",),
    "sac_delay": ("actor_delay=2",),
    "sac_clip": ("optimizer.max_grad_norm=100",),
    "sac_half_utd": ("num_envs=4", "utd_ratio=0.5"),
    "sac_normalized": ("actor_delay=2", *NORMALIZED),
    "fast": ("experiment=fast",),
    "crossq_small": ("experiment=crossq", *_sizes("[256,256]", "[256,256]")),  # without the clip of `fast`
    "fast_bf16": ("experiment=fast", "precision=bf16-mixed"),
    "xqc_small": ("experiment=xqc", "utd_ratio=1", *_sizes("[256,256]", "[256,256]")),
    "flash_small": ("experiment=flash_sac", "batch_size=256", *_sizes("[64]", "[128]")),
}
NAMES = (*RECIPES, *(name for name in PEERS if name != "sb3_dqn"))
COLOURS = (
    "#2563a8",
    "#1b9e77",
    "#d9a028",
    "#c2410c",
    "#7c3aed",
    "#64748b",
    "#be185d",
    "#713f12",
    "#0f766e",
    "#94a3b8",
    "#a3e635",
    "#000000",
)
Curves = dict[tuple[str, str], list[Curve]]


def curves_of(runs: Runs) -> Curves:
    """Returns the curve over minutes of each run in the table, by env and recipe."""
    found: Curves = defaultdict(list)
    for recipe, env, seed in {(row["recipe"], row["env"], row["seed"]): None for row in runs.table.rows}:
        points = runs.points(Run(recipe, (), env, int(seed)))
        minutes, returns = (np.array([point[i] for point in points]) for i in (1, 2))
        found[env, recipe].append(Curve(minutes, returns))
    return found


def summarise(curves: Curves, minutes: list[float], out: Path) -> list[str]:
    """Writes interquartile means over seeds with 95 % intervals. Returns the lines of a table for people."""
    rows: list[dict[str, object]] = []
    lines = []
    for (env, recipe), own in sorted(curves.items()):
        cells = []
        for minute in minutes:
            # Linear between the evaluations beside it; runs that have not come so far are left out.
            reached = [curve for curve in own if curve.steps[0] <= minute <= curve.steps[-1]]
            returns = [float(np.interp(minute, curve.steps, curve.values)) for curve in reached]
            found = interquartile_mean(returns)
            row = {"env": env, "recipe": recipe, "minutes": minute, "seeds": len(reached)}
            rows.append({**row, "iqm": found.value, "low": found.low, "high": found.high})
            shown = f"{found.value:.0f} [{found.low:.0f}, {found.high:.0f}]" if reached else "-"
            cells.append(f"{shown} after {minute:g} min")
        lines.append(f"{env:<14} {recipe:<16} {len(own)} seeds: {'; '.join(cells)}")
    table = Table(out, ("env", "recipe", "minutes", "seeds", "iqm", "low", "high"))
    table.add(rows, replacing=lambda row: True)
    return lines


def draw(curves: Curves, out: Path) -> None:
    """Draws every seed and the means by minutes, each env by itself; other libraries dashed."""
    envs = sorted({env for env, _ in curves})
    ours, theirs = (iter(COLOURS), iter(COLOURS))
    names = [(n, next(theirs if n in PEERS else ours)) for n in NAMES if any(n == r for _, r in curves)]
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2 * len(envs), 3.8), dpi=150, layout="constrained")
        for axes, env in zip(figure.subplots(1, len(envs), squeeze=False)[0], envs, strict=True):
            for recipe, colour in names:
                if own := curves.get((env, recipe)):
                    draw_seeds(axes, recipe, colour, own, "--" if recipe in PEERS else "-")
            axes.set(title=env, xlabel="minutes of training", ylabel="return of an evaluation")
            axes.legend(fontsize=8)
        FigureCanvasAgg(figure)
        figure.savefig(out, format="png")


def main() -> int:
    """Make the missing runs, then table and picture; 1 where a run failed."""
    parser = parser_of(__doc__, "minutes", threads="1")
    parser.add_argument("--recipes", nargs="+", default=NAMES, choices=NAMES, metavar="NAME")
    parser.add_argument("--minutes", nargs="+", type=float, default=[10.0, 30.0, 60.0])
    arguments = parser.parse_args()
    how = ("logger=csv", f"threads={arguments.threads}", "compile=true")
    runs = CampaignRuns(Table(arguments.results, COLUMNS), arguments.runs_dir, how, arguments.every)
    failed, recipes = 0, {name: RECIPES.get(name, ()) for name in arguments.recipes}

    def enough(point: Point) -> bool:
        return point.minutes >= max(arguments.minutes)

    if not arguments.table_only:
        failed = runs.make(all_runs(recipes, arguments.envs, arguments.seeds), enough, arguments.jobs)
    if runs.table.rows:
        curves, out = curves_of(runs), arguments.results
        print("\n".join(summarise(curves, arguments.minutes, out.with_name(f"{out.stem}_summary.csv"))))
        draw(curves, out.with_suffix(".png"))
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
