"""Learning with old policies: four Ray actors, with small and large blocks, beside collector=sync.

    python benchmarks/lag.py --jobs 1

All have four envs. `time/policy_lag` is how many updates the policy that acts is behind. Every evaluation is
a row of benchmarks/results/lag.csv, from which docs/figures/lag.png comes. A complete run is not made again,
and one that was stopped continues.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from recipes import COLUMNS, ROOT, Point, Run, Runs, all_runs, parser_of
from tables import Row, Table

from sac_lightning.core.plots import STYLE
from sac_lightning.training.loggers import read_metrics
from sac_lightning_report.runs import Curve
from sac_lightning_report.statistics import band

PICTURE = ROOT / "docs" / "figures" / "lag.png"
ACTORS = ("collector=ray", "collector.actors=4")
RECIPES: dict[str, tuple[str, ...]] = {
    "sync": ("num_envs=4",),
    "ray": ACTORS,
    "ray, blocks of 50": (*ACTORS, "collector.collect_steps=50"),
}
COLOURS = ("#94a3b8", "#2563a8", "#c2410c")
# One update for each env step; conf/env/pendulum.yaml has two.
ENVS: dict[str, tuple[str, ...]] = {
    "pendulum": ("utd_ratio=1", "learning_starts=500", "steps_per_epoch=500"),
    "halfcheetah": ("lr=3e-4", "compile=true", "steps_per_epoch=5000"),
}
STEPS = {"pendulum": 10_000, "halfcheetah": 50_000}
HOW = ("logger=csv", "threads=1", "eval_episodes=20", "eval_envs=20", "callbacks.plots=null")


class LagRuns(Runs):
    """Runs whose rows also have the mean policy lag of the run."""

    def _record(self, run: Run) -> None:
        super()._record(run)
        metrics = read_metrics(self.folder / run.name / "metrics.csv")
        lag = float(np.nanmean(metrics.get("time/policy_lag", np.zeros(1))))
        own = [{**row, "policy_lag": lag} for row in self.table.rows if run.is_of(row)]
        self.table.add(own, replacing=run.is_of)


def draw(table: Table, out: Path) -> None:
    """Draws mean returns by env steps with 95 % intervals, one picture for each env."""
    with rc_context(STYLE):
        figure = Figure(figsize=(10.4, 3.6), dpi=150, layout="constrained")
        for axes, env in zip(figure.subplots(1, len(ENVS)), ENVS, strict=True):
            axes.set(title=env, xlabel="env steps", ylabel="return of 20 episodes")
            for recipe, colour in zip(RECIPES, COLOURS, strict=True):
                rows = [row for row in table.rows if (row["env"], row["recipe"]) == (env, recipe)]
                curves = [curve_of([row for row in rows if row["seed"] == seed]) for seed in seeds_of(rows)]
                if curves:
                    lag = np.mean([float(row["policy_lag"]) for row in rows])
                    seen = band(curves, curves[0].steps)
                    axes.fill_between(seen.steps, seen.low, seen.high, color=colour, alpha=0.15, linewidth=0)
                    axes.plot(
                        seen.steps, seen.mean, color=colour, linewidth=1.8, label=f"{recipe}: {lag:.0f}"
                    )
            axes.legend(fontsize=8, title="policy lag, updates", title_fontsize=8)
        FigureCanvasAgg(figure)
        figure.savefig(out, format="png")


def seeds_of(rows: Sequence[Row]) -> list[str]:
    """Returns the seeds of `rows`."""
    return sorted({row["seed"] for row in rows})


def curve_of(rows: Sequence[Row]) -> Curve:
    """Returns the learning curve of one run."""
    steps, returns = (np.array([float(row[key]) for row in rows]) for key in ("env_steps", "return_mean"))
    return Curve(steps, returns)


def main() -> int:
    """Make the missing runs, then the picture; 1 where a run failed."""
    parser = parser_of(__doc__, "lag", threads="1")
    parser.set_defaults(envs=list(ENVS), seeds=[0, 1, 2])
    arguments = parser.parse_args()
    table, failed = Table(arguments.results, (*COLUMNS, "policy_lag")), 0
    for env in () if arguments.table_only else arguments.envs:
        steps = STEPS[env]

        def enough(point: Point, steps: int = steps) -> bool:
            return point.env_steps >= steps

        runs = LagRuns(table, arguments.runs_dir, (*HOW, *ENVS[env], f"total_env_steps={steps}"))
        runs.has_minutes = False  # the picture needs none
        failed += runs.make(all_runs(RECIPES, [env], arguments.seeds), enough, arguments.jobs)
    draw(table, PICTURE)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
