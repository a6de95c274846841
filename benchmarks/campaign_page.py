"""The tables and the pictures of docs/results.md, from the rows that campaign.py wrote."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from recipes import COLUMNS, ROOT
from tables import Table

from sac_lightning.core.plots import STYLE
from sac_lightning_report.runs import Curve
from sac_lightning_report.statistics import (
    Estimate,
    area_under,
    band,
    interquartile_mean,
    probability_of_improvement,
)

PAGE, FIGURES = ROOT / "docs" / "results.md", ROOT / "docs" / "figures"
PICTURE, DISCRETE_PICTURE = FIGURES / "results.png", FIGURES / "results_discrete.png"
TEMPLATE = ROOT / "benchmarks" / "results_page.txt"  # with places for the tables
MUJOCO = ("halfcheetah", "hopper", "walker2d", "ant", "humanoid")
# env.game of each.
MINATAR = {"breakout": "Breakout", "asterix": "Asterix", "space_invaders": "SpaceInvaders"}
DISCRETE = ("cartpole", "acrobot", "lunar_lander", *MINATAR)
# Env steps between two evaluations.
EVERY = {
    **dict.fromkeys(MUJOCO, 10_000),
    "cartpole": 1_000,
    "acrobot": 1_000,
    "lunar_lander": 10_000,
    **dict.fromkeys(MINATAR, 50_000),
}
POINTS = (50_000, 100_000, 200_000, 300_000, 1_000_000)
MINUTES = (10.0, 30.0)
MINUTES_FILE = ROOT / "benchmarks" / "results" / "minutes.csv"
# Mean and standard deviation over ten seeds on Gymnasium v4, of CrossQ's authors: SAC with lr=1e-3, and
# CrossQ at its published size; from the result files of SimbaV2's authors.
PUBLISHED: dict[tuple[str, str], tuple[str, ...]] = {
    ("SAC", "halfcheetah"): ("4212 ± 525", "6156 ± 738", "7679 ± 898", "8593 ± 1016", "11321 ± 1108"),
    ("SAC", "hopper"): ("530 ± 300", "1103 ± 388", "2342 ± 971", "2160 ± 1034", "2787 ± 868"),
    ("SAC", "walker2d"): ("384 ± 162", "690 ± 254", "1946 ± 1349", "2470 ± 1656", "4536 ± 495"),
    ("SAC", "ant"): ("448 ± 298", "747 ± 528", "2296 ± 1182", "3532 ± 1645", "5734 ± 674"),
    ("SAC", "humanoid"): ("481 ± 98", "632 ± 179", "994 ± 481", "3015 ± 1736", "4826 ± 1679"),
    ("CrossQ", "halfcheetah"): ("6345 ± 832", "8112 ± 944", "9363 ± 1155", "10012 ± 1172", "12893 ± 1810"),
    ("CrossQ", "hopper"): ("1421 ± 959", "2764 ± 823", "2577 ± 872", "2644 ± 934", "2467 ± 988"),
    ("CrossQ", "walker2d"): ("1096 ± 1218", "3914 ± 1729", "5174 ± 1733", "5941 ± 509", "6257 ± 1581"),
    ("CrossQ", "ant"): ("836 ± 892", "2299 ± 1347", "4853 ± 1636", "5712 ± 761", "6980 ± 236"),
    ("CrossQ", "humanoid"): ("968 ± 476", "2603 ± 2474", "6348 ± 3118", "9039 ± 331", "10480 ± 280"),
}
COLOURS = {
    "sac": "#2563a8",
    "sac_3e-4": "#93b8e0",
    "sac_bf16": "#7c3aed",
    "sac_clip": "#be185d",
    "fast": "#1b9e77",
    "crossq_small": "#a7d8c4",
    "sb3_sac": "#94a3b8",
    "sb3_dqn": "#94a3b8",
    "sbx_sac": "#d9a028",
}
# Of a method and a seed: env steps, minutes and return of each evaluation.
Runs = dict[tuple[str, int], list[tuple[float, float, float]]]
# Of each method: returns by env steps, and by minutes, which are NaN where other work ran beside.
Curves = dict[str, list[tuple[Curve, Curve]]]


def table_of(env: str) -> Table:
    """Returns the table of an env's evaluations."""
    folder = "mujoco_v5" if env in MUJOCO else "discrete"
    return Table(ROOT / "benchmarks" / "results" / folder / f"{env}.csv", COLUMNS)


def file_of(env: str) -> Any:
    """Returns what the file of an env says. The games of MinAtar share one."""
    name = "minatar" if env in MINATAR else env
    return yaml.safe_load((ROOT / "conf" / "env" / f"{name}.yaml").read_text(encoding="utf-8"))


def env_id(env: str) -> str:
    """Returns the id of an env."""
    return str(file_of(env)["env"]["id"]).replace("${env.game}", MINATAR.get(env, ""))


def runs_of(env: str, table: Table) -> Runs:
    """Returns the evaluations of each run on `env` in `table`."""
    runs: Runs = defaultdict(list)
    for row in table.rows:
        if row["env"] == env:
            point = float(row["env_steps"]), float(row["minutes"] or "nan"), float(row["return_mean"])
            runs[row["recipe"], int(row["seed"])].append(point)
    return runs


def curves_of(env: str) -> Curves:
    """Returns the curves of all seeds of each method.

    A run of minutes.csv counts by its env steps if the campaign has none of its seed, or a shorter one. Its
    minutes are those of another machine.
    """
    own, beside = runs_of(env, table_of(env)), runs_of(env, Table(MINUTES_FILE, COLUMNS))
    found: Curves = defaultdict(list)
    for method, seed in sorted({*own, *beside}):
        points, others = own.get((method, seed), []), beside.get((method, seed), [])
        longer = max(points, others, key=lambda each: each[-1][0] if each else 0.0)
        steps, _, returns = np.array(longer).T
        _, minutes, then = np.array(points or [(np.nan,) * 3]).T
        found[method].append((Curve(steps, returns), Curve(minutes, then)))
    return found


def minutes_of(env: str) -> dict[str, list[tuple[Curve, Curve]]]:
    """Returns the curves by minutes of each method in minutes.csv: env steps, and returns."""
    found = defaultdict(list)
    for (method, _), points in sorted(runs_of(env, Table(MINUTES_FILE, COLUMNS)).items()):
        steps, minutes, returns = np.array(points).T
        found[method].append((Curve(minutes, steps), Curve(minutes, returns)))
    return found


def at(curves: Sequence[tuple[Curve, Curve]], steps: int) -> list[float]:
    """Returns the return of each run that has come to `steps`, at the evaluation there."""
    points = (dict(zip(curve.steps, curve.values, strict=True)) for curve, _ in curves)
    return [float(each[steps]) for each in points if steps in each]


def after(curves: Sequence[tuple[Curve, Curve]], minutes: float) -> list[float]:
    """Returns the return of each run that has trained for so long, between two evaluations."""
    return [
        float(np.interp(minutes, curve.steps, curve.values))
        for _, curve in curves
        if curve.steps[-1] >= minutes
    ]


def shown(estimate: Estimate, count: int) -> str:
    """Returns the cell of an interquartile mean over `count` runs."""
    low, high = number(estimate.low), number(estimate.high)
    interval = f" [{low}, {high}]" if np.isfinite(estimate.low) else ""
    return f"{number(estimate.value)}{interval} ({count})" if count else ""


def number(value: float) -> str:
    """Returns a return, those of small games with a digit after the point."""
    return f"{value:.1f}" if abs(value) < 30 else f"{value:.0f}"


def reached(*envs: str) -> tuple[int, ...]:
    """Returns those of POINTS to which a run of any of `envs` has come."""
    ends = [each.steps[-1] for env in envs for own in curves_of(env).values() for each, _ in own]
    return tuple(steps for steps in POINTS if steps <= max(ends, default=0.0))


def trained(envs: Sequence[str]) -> float:
    """Returns the env steps of all runs on `envs`, in millions."""
    return sum(each.steps[-1] for env in envs for own in curves_of(env).values() for each, _ in own) / 1e6


def mujoco_rows(env: str) -> list[list[str]]:
    """Returns a line for each method, then the published numbers."""
    rows, points = [], reached(*MUJOCO)
    for method, curves in curves_of(env).items():
        runs = [*(at(curves, steps) for steps in points), after(curves, MINUTES[0])]
        rows.append([env, method, *(shown(interquartile_mean(own), len(own)) for own in runs)])
    published = (
        [env, f"{name}, published", *PUBLISHED[name, env][: len(points)], ""] for name in ("SAC", "CrossQ")
    )
    return [*rows, *published] if rows else []


def discrete_rows(env: str) -> list[list[str]]:
    """Returns a line for each method: of the runs that have come to the end of the longest one.

    The return there, and the mean return of all evaluations.
    """
    rows, by_method = [], curves_of(env)
    last = max((curve.steps[-1] for curves in by_method.values() for curve, _ in curves), default=0.0)
    whole = {
        method: [each for each in curves if each[0].steps[-1] == last] for method, curves in by_method.items()
    }
    for method, curves in whole.items():
        if not curves:
            continue
        ends, theirs = at(curves, int(last)), at(whole.get("sb3_dqn", []), int(last))
        area = float(np.mean([area_under(curve) for curve, _ in curves]))
        better = ""
        if method != "sb3_dqn" and theirs:
            chance = probability_of_improvement(ends, theirs)
            interval = f" [{chance.low:.2f}, {chance.high:.2f}]" if np.isfinite(chance.low) else ""
            better = f"{chance.value:.2f}{interval}"
        cells = [f"{last:,.0f}", shown(interquartile_mean(ends), len(ends)), number(area)]
        rows.append([env, method, *cells, better])
    return rows


def minutes_rows(env: str) -> list[list[str]]:
    """Returns a line for each method in minutes.csv: returns after MINUTES, and env steps in a minute."""
    rows = []
    for method, curves in minutes_of(env).items():
        cells = []
        for minutes in MINUTES:
            returns = after(curves, minutes)
            cells.append(shown(interquartile_mean(returns), len(returns)))
        speed = np.mean([each.values[-1] / each.steps[-1] for each, _ in curves])
        rows.append([env, method, *cells, f"{speed:,.0f}"])
    return rows


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page() -> str:
    """Returns the text of docs/results.md."""
    heads = [f"{steps:,} env steps" for steps in reached(*MUJOCO)]
    mujoco, discrete = trained(MUJOCO), trained(DISCRETE)
    tables = {
        "mujoco": markdown(
            ["env", "method", *heads, "after 10 minutes, 16 cores"],
            [row for env in MUJOCO for row in mujoco_rows(env)],
        ),
        "trained": f"{mujoco:.1f} million env steps on MuJoCo and {discrete:.1f} on discrete tasks",
        "minutes": markdown(
            ["env", "method", *(f"after {each:.0f} minutes" for each in MINUTES), "env steps per minute"],
            [row for env in MUJOCO for row in minutes_rows(env)],
        ),
        "discrete": markdown(
            ["env", "method", "env steps", "return", "mean over training", "better than DQN"],
            [row for env in DISCRETE for row in discrete_rows(env)],
        ),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, table in tables.items():
        text = text.replace(f"<!-- {name} -->", table)
    return text


def draw() -> None:
    """Draws both pictures: continuous control by env steps and by minutes, discrete actions by env steps."""
    with rc_context(STYLE):
        for envs, out in ((MUJOCO, PICTURE), (DISCRETE, DISCRETE_PICTURE)):
            found = {env: curves for env in envs if (curves := curves_of(env))}
            by_minutes = envs == MUJOCO
            size = 3.2 * len(found), 5.8 if by_minutes else 3.2
            figure = Figure(figsize=size, dpi=130, layout="constrained")
            grid = figure.subplots(1 + by_minutes, len(found), squeeze=False)
            for column, (env, curves) in enumerate(found.items()):
                for method, own in curves.items():
                    draw_seeds(grid[0, column], method, COLOURS[method], [each for each, _ in own])
                grid[0, column].set(title=env_id(env), xlabel="env steps (thousands)")
                grid[0, column].xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g}")
                if by_minutes:
                    _draw_published(grid[0, column], env)
                    by_method = minutes_of(env)
                    grid[1, column].set_visible(bool(by_method))
                    for method, timed in by_method.items():
                        draw_seeds(grid[1, column], method, COLOURS[method], [each for _, each in timed])
                    grid[1, column].set(xlabel="minutes of training on one core")
            legend = {
                name: line
                for axes in grid[0]
                for line, name in zip(*axes.get_legend_handles_labels(), strict=True)
            }
            figure.legend(legend.values(), legend, loc="outside upper center", ncols=len(legend), fontsize=8)
            figure.supylabel("mean return of 20 episodes", fontsize=9)
            FigureCanvasAgg(figure)
            figure.savefig(out, format="png")


def draw_seeds(axes: Axes, label: str, colour: str, seeds: Sequence[Curve], line: str = "-") -> None:
    """Draws a thin line for each seed; a thick one and a 95 % interval as far as all have come."""
    seeds = [each for each in seeds if np.isfinite(each.steps).all()]  # minutes that were not measured
    if not seeds:
        return
    for each in seeds:
        axes.plot(each.steps, each.values, line, color=colour, linewidth=0.6, alpha=0.6)
    grid = np.linspace(max(each.steps[0] for each in seeds), min(each.steps[-1] for each in seeds), 100)
    seen = band(seeds, grid)
    axes.fill_between(seen.steps, seen.low, seen.high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(seen.steps, seen.mean, line, color=colour, linewidth=1.8, label=label)


def _draw_published(axes: Axes, env: str) -> None:
    """Draws mean and standard deviation of the published runs, at the env steps to which ours have come."""
    for name, colour, marker in (("SAC", "#172033", "s"), ("CrossQ", "#172033", "D")):
        points = [
            (steps, *map(float, PUBLISHED[name, env][i].split(" ± "))) for i, steps in enumerate(reached(env))
        ]
        if points:
            steps, mean, std = zip(*points, strict=True)
            how = {
                "marker": marker,
                "markersize": 4,
                "linestyle": "none",
                "elinewidth": 0.8,
                "markerfacecolor": "white",
            }
            axes.errorbar(steps, mean, std, color=colour, label=f"{name}, published (v4)", **how)
