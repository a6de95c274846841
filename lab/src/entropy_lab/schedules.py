"""c. Fixed, annealed and learned α on Pendulum and CartPole."""

import math
from functools import partial
from pathlib import Path

from entropy_lab import canvas as c
from entropy_lab.agents import cartpole, pendulum, train
from entropy_lab.experiment import Experiment, Job, Numbers, Rows, Table
from sac_lightning.entropy import Anneal, Fixed, LearnedTemperature, TemperatureRule

SEEDS = 3
ENVS = {"pendulum": "Pendulum-v1", "cartpole": "CartPole-v1, 200 steps"}
RECIPES = {"pendulum": pendulum, "cartpole": cartpole}
SECONDS = {"pendulum": 16, "cartpole": 9}
RULES = {
    "fixed": "fixed, α = 0.2",
    "anneal": "annealed, 1 → 0.01",
    "auto": "auto, learned",
}
PANELS = (("return", "return, mean of 10 episodes"), ("alpha", "temperature α"))


def rule(name: str, total: int) -> TemperatureRule:
    """Return the temperature rule of that name, for a run of `total` env steps."""
    rules: dict[str, TemperatureRule] = {
        "fixed": Fixed(0.2),
        "anneal": Anneal(start=1.0, end=0.01, steps=total, shape="exponential"),
        "auto": LearnedTemperature(lr=2e-3),
    }
    return rules[name]


def run(env: str, name: str, seed: int, budget: float) -> Rows:
    """The curves of one agent."""
    given = RECIPES[env](budget)
    trained = train(given, rule(name, given.total_env_steps), seed)
    return [
        {
            "env": env,
            "rule": name,
            "seed": seed,
            "env_steps": at,
            "alpha": row.get("train/alpha", math.nan),
            "entropy": row.get("train/entropy", math.nan),
            "return": row.get("eval/return_mean", math.nan),
        }
        for at, row in trained.log.items()
    ]


def jobs(seed: int, budget: float) -> list[Job]:
    """Every rule on every env and seed."""
    return [
        Job(f"{env}, {name} α, seed {each}", partial(run, env, name, each, budget), SECONDS[env] * budget)
        for each in range(seed, seed + SEEDS)
        for env in ENVS
        for name in RULES
    ]


def draw(table: Table, out: Path) -> None:
    """Return above α; one column per env, one colour per rule."""
    with c.canvas(out, (10.2, 6.6), 2, 2, sharex="col") as (figure, grid):
        for column, (env, title) in enumerate(ENVS.items()):
            half = table.where(env=env)
            for axes, (key, label) in zip(grid[:, column], PANELS, strict=True):
                for (name, label_of), colour in zip(RULES.items(), c.COLOURS, strict=False):
                    c.seed_band(axes, half.where(rule=name), key, colour, label_of)
                if column == 0:
                    axes.set_ylabel(label)
            grid[0, column].set_title(title)
            c.log_axis(grid[1, column])
            c.env_steps(grid[1, column], half.column("env_steps").max())
        c.legend_above(figure, grid[0, 0], len(RULES))
        figure.align_ylabels()


def numbers(table: Table) -> Numbers:
    """Last return and α of each rule, and the return over the whole run."""
    found: Numbers = {}
    for env in ENVS:
        for name in RULES:
            own = table.where(env=env, rule=name)
            returns, alpha = own.known("return").by("return", "seed"), own.known("alpha").by("alpha", "seed")
            last = returns[:, -2:].mean(1)
            key = f"{env}.{name}"
            found |= {f"return.{key}": last.mean(), f"low.{key}": last.min(), f"high.{key}": last.max()}
            found |= {f"area.{key}": returns.mean(), f"alpha.{key}": alpha[:, -1].mean()}
    return found


EXPERIMENT = Experiment("c", "schedules", jobs, draw, numbers)
