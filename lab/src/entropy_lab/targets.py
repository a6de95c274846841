"""b. Five targets on CartPole: which can be reached, where α goes, what the return does."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from entropy_lab import canvas as c
from entropy_lab.agents import CARTPOLE_LIMIT, cartpole, train
from entropy_lab.experiment import Experiment, Job, Numbers, Rows, Table
from sac_lightning.entropy import (
    Constant,
    EpsPeaked,
    LearnedTemperature,
    MaxEntropy,
    MaxRatio,
    TargetEntropyRule,
)
from sac_lightning.heads import Categorical, Interval

SEEDS = 3
ALPHA_LR = 5e-3  # quick, so that a short run shows where α goes
RULES: dict[str, tuple[str, TargetEntropyRule]] = {
    "log_n": ("log n", MaxEntropy()),
    "ratio_0.98": ("0.98 log n", MaxRatio(0.98)),
    "ratio_0.5": ("0.5 log n", MaxRatio(0.5)),
    "eps_peaked": ("ε-peaked, ε = 0.1", EpsPeaked(0.1)),
    "minus_one": ("−1", Constant(-1.0)),
}
PANELS = (("entropy", "entropy, nats"), ("alpha", "temperature α"), ("return", "return, mean of 10 episodes"))


@dataclass(frozen=True)
class Unbounded(Categorical):
    """A categorical head that claims to reach any entropy, so that the check lets −1 pass."""

    @property
    def entropy_interval(self) -> Interval:
        return Interval(-math.inf, math.log(self.n))


def run(name: str, seed: int, budget: float) -> Rows:
    """The curves of one agent."""
    _, rule = RULES[name]
    head = Unbounded(2) if name == "minus_one" else None
    trained = train(cartpole(budget), LearnedTemperature(lr=ALPHA_LR, target_entropy=rule), seed, head)
    target = float(trained.module.sac.target_entropy)
    return [
        {
            "rule": name,
            "seed": seed,
            "env_steps": at,
            "target": target,
            "entropy": row.get("train/entropy", math.nan),
            "alpha": row.get("train/alpha", math.nan),
            "return": row.get("eval/return_mean", math.nan),
        }
        for at, row in trained.log.items()
    ]


def jobs(seed: int, budget: float) -> list[Job]:
    """Every rule on every seed."""
    return [
        Job(f"target {RULES[name][0]}, seed {each}", partial(run, name, each, budget), 9 * budget)
        for each in range(seed, seed + SEEDS)
        for name in RULES
    ]


def draw(table: Table, out: Path) -> None:
    """Entropy against its target, α, return: one colour per rule."""
    with c.canvas(out, (11.2, 4.6), 1, 3) as (figure, grid):
        for axes, (key, label) in zip(grid[0], PANELS, strict=True):
            for (name, (label_of, _)), colour in zip(RULES.items(), c.COLOURS, strict=True):
                own = c.seed_band(axes, table.where(rule=name), key, colour, f"H̄ = {label_of}")
                if key == "entropy":
                    axes.axhline(own.column("target")[0], color=colour, linewidth=1.1, linestyle=(0, (4, 3)))
            axes.set_ylabel(label)
            c.env_steps(axes, table.column("env_steps").max())
        grid[0, 0].set_ylim(-1.08, 0.78)
        right = 0.98 * grid[0, 0].get_xlim()[1]
        c.note(grid[0, 0], right, -0.93, "dashed: the target", ha="right")
        c.log_axis(grid[0, 1])
        grid[0, 2].set_ylim(0, 1.03 * CARTPOLE_LIMIT)
        c.legend_above(figure, grid[0, 0], len(RULES))


def likelier(entropy: float) -> float:
    """Return the likelier of two actions' probability at that entropy; 1 where the entropy is below 0."""
    if entropy <= 0.0:
        return 1.0
    low, high = 0.5, 1.0
    for _ in range(60):
        p = 0.5 * (low + high)
        above = -p * math.log(p) - (1.0 - p) * math.log(1.0 - p) > entropy
        low, high = (p, high) if above else (low, p)
    return 0.5 * (low + high)


def numbers(table: Table) -> Numbers:
    """Each rule's target, where its entropy and α ended, and its return over the last three evaluations."""
    found: Numbers = {"log_n": math.log(2)}
    for name in RULES:
        own = table.where(rule=name)
        target = float(own.column("target")[0])
        found[f"target.{name}"] = target
        found[f"peak.{name}"] = likelier(target)
        for key, rows in (("entropy", 5), ("alpha", 1), ("return", 3)):
            ends = own.known(key).by(key, "seed")[:, -rows:].mean(1)
            found[f"{key}.{name}"] = ends.mean()
            found[f"{key}_low.{name}"], found[f"{key}_high.{name}"] = ends.min(), ends.max()
    return found


EXPERIMENT = Experiment("b", "targets", jobs, draw, numbers)
