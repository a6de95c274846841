"""The tables and the picture of docs/results.md, from the rows that campaign.py wrote."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
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

PAGE, PICTURE = ROOT / "docs" / "results.md", ROOT / "docs" / "figures" / "results.png"
TEMPLATE = ROOT / "benchmarks" / "results_page.txt"  # with places for the tables
MUJOCO = ("halfcheetah", "hopper", "walker2d", "ant", "humanoid")
DISCRETE = ("cartpole", "acrobot", "lunar_lander")
# Env steps between two evaluations.
EVERY = {**dict.fromkeys(MUJOCO, 10_000), "cartpole": 1_000, "acrobot": 1_000, "lunar_lander": 10_000}
POINTS = (50_000, 100_000, 300_000, 1_000_000)
MINUTES = 10.0
# Mean and standard deviation over ten seeds on Gymnasium v4, of CrossQ's authors: SAC with lr=1e-3, and
# CrossQ at its published size; from the result files of SimbaV2's authors.
PUBLISHED: dict[tuple[str, str], tuple[str, ...]] = {
    ("SAC", "halfcheetah"): ("4212 ± 525", "6156 ± 738", "8593 ± 1016", "11321 ± 1108"),
    ("SAC", "hopper"): ("530 ± 300", "1103 ± 388", "2160 ± 1034", "2787 ± 868"),
    ("SAC", "walker2d"): ("384 ± 162", "690 ± 254", "2470 ± 1656", "4536 ± 495"),
    ("SAC", "ant"): ("448 ± 298", "747 ± 528", "3532 ± 1645", "5734 ± 674"),
    ("SAC", "humanoid"): ("481 ± 98", "632 ± 179", "3015 ± 1736", "4826 ± 1679"),
    ("CrossQ", "halfcheetah"): ("6345 ± 832", "8112 ± 944", "10012 ± 1172", "12893 ± 1810"),
    ("CrossQ", "hopper"): ("1421 ± 959", "2764 ± 823", "2644 ± 934", "2467 ± 988"),
    ("CrossQ", "walker2d"): ("1096 ± 1218", "3914 ± 1729", "5941 ± 509", "6257 ± 1581"),
    ("CrossQ", "ant"): ("836 ± 892", "2299 ± 1347", "5712 ± 761", "6980 ± 236"),
    ("CrossQ", "humanoid"): ("968 ± 476", "2603 ± 2474", "9039 ± 331", "10480 ± 280"),
}
COLOURS = {
    "sac": "#2563a8",
    "sac_lr": "#d9a028",
    "sac_bf16": "#7c3aed",
    "fast": "#1b9e77",
    "sb3_sac": "#94a3b8",
    "sb3_dqn": "#94a3b8",
}
# Of each method: returns by env steps, and by minutes, which are NaN where other work ran beside.
Curves = dict[str, list[tuple[Curve, Curve]]]


def table_of(env: str) -> Table:
    """Returns the table of an env's evaluations."""
    folder = "mujoco_v5" if env in MUJOCO else "discrete"
    return Table(ROOT / "benchmarks" / "results" / folder / f"{env}.csv", COLUMNS)


def curves_of(env: str) -> Curves:
    """Returns the curves of all seeds of each method."""
    runs = defaultdict(list)
    for row in table_of(env).rows:
        point = float(row["env_steps"]), float(row["minutes"] or "nan"), float(row["return_mean"])
        runs[row["recipe"], int(row["seed"])].append(point)
    found: Curves = defaultdict(list)
    for (method, _), points in sorted(runs.items()):
        steps, minutes, returns = np.array(points).T
        found[method].append((Curve(steps, returns), Curve(minutes, returns)))
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
    interval = f" [{estimate.low:.0f}, {estimate.high:.0f}]" if np.isfinite(estimate.low) else ""
    return f"{estimate.value:.0f}{interval} ({count})" if count else ""


def reached() -> tuple[int, ...]:
    """Returns those of POINTS to which a run has come."""
    ends = [each.steps[-1] for env in MUJOCO for own in curves_of(env).values() for each, _ in own]
    return tuple(steps for steps in POINTS if steps <= max(ends, default=0.0))


def mujoco_rows(env: str) -> list[list[str]]:
    """Returns a line for each method, then the published numbers."""
    rows, points = [], reached()
    for method, curves in curves_of(env).items():
        runs = [*(at(curves, steps) for steps in points), after(curves, MINUTES)]
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
        cells = [f"{last:,.0f}", shown(interquartile_mean(ends), len(ends)), f"{area:.0f}"]
        rows.append([env, method, *cells, better])
    return rows


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page() -> str:
    """Returns the text of docs/results.md."""
    heads = [f"{steps:,} env steps" for steps in reached()]
    tables = {
        "mujoco": markdown(
            ["env", "method", *heads, f"after {MINUTES:.0f} minutes"],
            [row for env in MUJOCO for row in mujoco_rows(env)],
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
    """Draws mean returns with 95 % intervals: by env steps above, by minutes below."""
    found = {env: curves for env in (*MUJOCO, *DISCRETE) if (curves := curves_of(env))}
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6 * len(found), 5.6), dpi=130, layout="constrained")
        grid = figure.subplots(2, len(found), squeeze=False)
        for column, (env, curves) in enumerate(found.items()):
            for method, own in curves.items():
                for by_minutes, axes in enumerate(grid[:, column]):
                    lines = [each[by_minutes] for each in own]
                    if np.isnan([line.steps[-1] for line in lines]).any():
                        continue
                    begin, end = max(each.steps[0] for each in lines), min(each.steps[-1] for each in lines)
                    seen = band(lines, np.linspace(begin, end, 100))
                    axes.fill_between(
                        seen.steps, seen.low, seen.high, color=COLOURS[method], alpha=0.15, linewidth=0
                    )
                    axes.plot(seen.steps, seen.mean, color=COLOURS[method], linewidth=1.6, label=method)
            grid[0, column].set(title=env, xlabel="env steps")
            grid[1, column].set(xlabel="minutes of training")
            grid[0, column].legend(fontsize=7)
            grid[1, column].set_visible(bool(grid[1, column].lines))
        figure.supylabel("mean return of 20 episodes", fontsize=9)
        FigureCanvasAgg(figure)
        figure.savefig(PICTURE, format="png")
