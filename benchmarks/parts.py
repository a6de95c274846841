"""Each part of docs/family.md alone, beside SAC without it: on Pendulum-v1, some on CartPole-v1.

    python benchmarks/parts.py --jobs 2

Every evaluation is a row of benchmarks/results/parts.csv, from which docs/figures/parts.png and
parts_discrete.png come. A complete run is not made again, and one that was stopped goes on.
"""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from recipes import ROOT, Point, Run, Runs, all_runs, parser_of

from sac_lightning.core.plots import STYLE

FIGURES = ROOT / "docs" / "figures"
PLAIN = "SAC"
HOW = ("eval_episodes=20", "callbacks.plots=null")
_RETURNS = ("value_head.low=-800", "value_head.high=20")  # -16.3 at worst in each step, gamma=0.98
CONTINUOUS: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    "observation normalisation": ("normalization/obs=running",),
    "reward normalisation": ("normalization/reward=return_variance",),
    "LayerNorm": ("torso=layer_norm",),
    "dropout": (
        *("+torso@torso_of_critics=layer_norm", "torso_of_critics.dropout=0.01"),
        "critic.torso=${torso_of_critics}",
    ),
    "Batch Renormalization, no target network": (
        *("torso=batch_renorm", "target_network=none", "optimizer.betas=[0.5,0.999]"),
    ),
    "BatchNorm, joint pass with a target network": ("torso=batch_norm", "target_network=joint_polyak"),
    "residual blocks": ("torso=simba",),
    "unit length": ("torso=simba_v2",),
    "a distribution on bins": ("value_head=categorical", *_RETURNS),
    "HL-Gauss": ("value_head=hl_gauss", *_RETURNS),
    "quantiles, the largest dropped": ("value_head=quantile", "pessimism=truncated"),
    "a random subset of ten critics": ("pessimism=random_subset", "critic.num_critics=10"),
    "actor delay of 2": ("actor_delay=2",),
    "resets": ("reset_every=2000",),
    "3-step returns": ("replay.n_step=3",),
    "linear learning-rate schedule": ("optimizer.lr_schedule=linear",),
    "AdamW": ("optimizer=adamw",),
    "held noise": ("collector.noise_hold_max=16",),
    "gamma from the time limit": ("gamma=auto",),
}

DISCRETE: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    "the mean of both critics": ("pessimism=mean",),
    "Q-clip": ("critic.q_clip=0.5",),
    "entropy penalty": ("actor.entropy_penalty=0.5",),
    "mean, Q-clip and entropy penalty": (
        *("pessimism=mean", "critic.q_clip=0.5", "actor.entropy_penalty=0.5"),
    ),
    "no entropy bonus in the target": ("alpha.critic=none",),
    "3-step returns": ("replay.n_step=3",),
    "a smaller entropy target": ("target_entropy=max_ratio", "target_entropy.ratio=0.3"),
}


class Task(NamedTuple):
    """An env, and the parts that are tried on it."""

    parts: dict[str, tuple[str, ...]]
    how: tuple[str, ...]
    steps: int
    every: int
    picture: str


TASKS = {
    # One update per env step, instead of the file's.
    "pendulum": Task(CONTINUOUS, ("utd_ratio=1", "compile=false"), 5_000, 500, "parts.png"),
    "cartpole": Task(DISCRETE, (), 25_000, 1_000, "parts_discrete.png"),
}


def draw(runs: Runs, made: Sequence[Run], out: Path) -> None:
    """Draws a small picture for each part: its runs in blue, SAC's in grey."""
    names = list(dict.fromkeys(run.recipe for run in made))[1:]

    def curves(axes: Axes, recipe: str, colour: str) -> None:
        for run in (each for each in made if each.recipe == recipe):
            if points := runs.points(run):
                steps, _, returns = np.array(points).T
                axes.plot(steps, returns, color=colour, linewidth=1.4)

    with rc_context(STYLE):
        rows = -(-len(names) // 4)
        figure = Figure(figsize=(12.0, 2.1 * rows), dpi=130, layout="constrained")
        grid = figure.subplots(rows, 4, squeeze=False, sharex=True, sharey=True)
        for axes, name in zip(grid.flat, names, strict=False):
            curves(axes, PLAIN, "#94a3b8")
            curves(axes, name, "#2563a8")
            axes.set_title(textwrap.fill(name, 30), fontsize=9)
        for axes in list(grid.flat)[len(names) :]:
            axes.set_axis_off()
        figure.supxlabel("env steps", fontsize=9)
        figure.supylabel("return of 20 episodes", fontsize=9)
        FigureCanvasAgg(figure)
        figure.savefig(out, format="png")


def main() -> int:
    """Make the missing runs, then the pictures; 1 where a run failed."""
    parser = parser_of(__doc__, "parts", threads="1")
    parser.set_defaults(envs=list(TASKS), every=None)
    parser.add_argument("--figures", type=Path, default=FIGURES, help="where the pictures are written")
    arguments = parser.parse_args()
    failed = 0
    for env in arguments.envs:
        task = TASKS[env]
        runs = Runs.of(arguments)
        runs.has_minutes = False  # the pictures need none
        every = arguments.every or task.every
        runs.how = ("logger=csv", f"threads={arguments.threads}", f"steps_per_epoch={every}", *task.how, *HOW)
        made = list(all_runs(task.parts, [env], arguments.seeds))

        def enough(point: Point, steps: int = task.steps) -> bool:
            return point.env_steps >= steps

        if not arguments.table_only:
            failed += runs.make(made, enough, arguments.jobs)
        if any(runs.points(run) for run in made):
            draw(runs, made, arguments.figures / task.picture)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
