"""h. Old data: how far the policy has moved from its replay buffer, and the cost of a small one."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from entropy_lab import canvas as c
from entropy_lab.agents import Recipe, pendulum, train
from entropy_lab.experiment import Experiment, Job, Numbers, Rows, Table, steps
from sac_lightning.entropy import LearnedTemperature
from sac_lightning.training.datamodule import ReplayDataModule
from sac_lightning.training.module import SACModule

SEEDS = 3
NEWEST = 250
POOLS = {
    "all": ("everything is kept", c.BLUE),
    "newest": (f"only the newest {NEWEST} env steps", c.ORANGE),
}
PANELS = (
    ("age", "mean age of a mini-batch, env steps"),
    ("shift", "log π now − log π then, nats"),
    ("return", "return, mean of 5 episodes"),
)


def recipe(pool: str, budget: float) -> Recipe:
    """Pendulum, four envs at a time: two updates for four env steps."""
    return replace(
        pendulum(budget),
        total_env_steps=steps(3_200, budget, least=400),
        num_envs=4,
        utd_ratio=0.5,
        tau=0.02,
        lr=3e-3,
        eval_episodes=5,
        log_every=steps(200, budget, least=20),
        capacity=NEWEST if pool == "newest" else None,
    )


@torch.no_grad()
def shift(module: SACModule, data: ReplayDataModule) -> float:
    """Return `diagnostics/policy_shift` over the whole replay buffer, without the random warm-up.

    NaN while the buffer contains nothing else.
    """
    assert data.experience is not None
    replay = data.experience.replay
    rows = torch.arange(len(replay))
    number = replay.added - 1 - (replay.added - 1 - rows) % replay.capacity
    obs, action, *_, then = (field[rows[number >= data.learning_starts]] for field in replay.store)
    now = module.sac.head.log_prob(module.sac.actor(obs), action)
    return float((now - then).nanmean())


def run(pool: str, seed: int, budget: float) -> Rows:
    """The curves of one agent."""
    given = recipe(pool, budget)

    def add_shift(module: SACModule, data: ReplayDataModule, env_steps: int, row: dict[str, float]) -> None:
        row["shift"] = shift(module, data)

    trained = train(given, LearnedTemperature(lr=2e-3), seed, after_row=add_shift)
    return [
        {
            "pool": pool,
            "seed": seed,
            "env_steps": at,
            "age": row.get("diagnostics/data_age", math.nan),
            "shift": row["shift"] if "diagnostics/data_age" in row else math.nan,
            "return": row.get("eval/return_mean", math.nan),
        }
        for at, row in trained.log.items()
    ]


def jobs(seed: int, budget: float) -> list[Job]:
    """Both buffers on every seed."""
    return [
        Job(f"pool of {pool}, seed {each}", partial(run, pool, each, budget), 6 * budget)
        for each in range(seed, seed + SEEDS)
        for pool in POOLS
    ]


def draw(table: Table, out: Path) -> None:
    """Age, distance and return beside one another, one colour per buffer."""
    with c.canvas(out, (11.2, 4.4), 1, 3) as (figure, grid):
        for axes, (key, label) in zip(grid[0], PANELS, strict=True):
            for pool, (name, colour) in POOLS.items():
                c.seed_band(axes, table.where(pool=pool), key, colour, name)
            axes.set_ylabel(label)
            c.env_steps(axes, table.column("env_steps").max())
        age, moved, _ = grid[0]
        age.set_ylim(bottom=0)
        moved.axhline(0.0, **c.TARGET)
        moved.set_ylim(top=0.12 * -moved.get_ylim()[0])
        c.note(moved, 0.03 * moved.get_xlim()[1], 0.06 * -moved.get_ylim()[0], "0: on policy", va="center")
        c.legend_above(figure, age, len(POOLS))


def numbers(table: Table) -> Numbers:
    """Age, distance and return at the end: means over seeds, with the lowest and the highest seed."""
    found: Numbers = {"newest": NEWEST}
    for pool in POOLS:
        own = table.where(pool=pool)
        for key, rows in (("age", 3), ("shift", 3), ("return", 2)):
            ends = own.known(key).by(key, "seed")[:, -rows:].mean(1)
            found[f"{key}.{pool}"] = ends.mean()
            found[f"{key}_low.{pool}"], found[f"{key}_high.{pool}"] = ends.min(), ends.max()
        found[f"first.{pool}"] = own.known("return").by("return", "seed")[:, 0].mean()
        found[f"gone.{pool}"] = -found[f"shift.{pool}"]
        found[f"rarer.{pool}"] = math.exp(found[f"gone.{pool}"])
    return found


EXPERIMENT = Experiment("h", "old_data", jobs, draw, numbers)
