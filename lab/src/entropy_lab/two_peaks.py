"""f. Hard against soft: a bandit with two peaks, of which only the soft policy keeps both."""

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from entropy_lab import canvas as c
from entropy_lab.agents import Recipe, train
from entropy_lab.experiment import Experiment, Job, Numbers, Rows, Table, steps
from sac_lightning.entropy import Fixed
from sac_lightning.envs import EnvConfig

BINS = 41
ACTIONS = np.linspace(-1.0, 1.0, BINS)
PEAKS = ((-0.5, 0.95), (0.5, 1.0))  # where, how high
WIDTH = 0.15
HARD, SOFT = 0.0, 0.15


def reward(action: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the reward: two hills, the right one a little higher."""
    hills = [height * np.exp(-0.5 * ((action - at) / WIDTH) ** 2) for at, height in PEAKS]
    return np.asarray(np.maximum(*hills))


class TwoPeaks(gym.Env[NDArray[np.float32], np.int64]):
    """One state, one step: action i of 41 is the place ACTIONS[i]."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(BINS)
        self._rewards = reward(ACTIONS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the only state."""
        super().reset(seed=seed, options=options)
        return np.ones(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Return the reward of that place; the episode ends."""
        return np.ones(1, np.float32), float(self._rewards[int(action)]), True, False, {}


def recipe(budget: float) -> Recipe:
    """Return the recipe: γ = 0, as it is a bandit."""
    return Recipe(
        EnvConfig(id="TwoPeaks-v0", make=TwoPeaks),
        total_env_steps=steps(16_000, budget, least=1_000),
        learning_starts=500,
        num_envs=10,
        utd_ratio=0.1,
        gamma=0.0,
        hidden_sizes=(64,),
        lr=3e-3,
        evaluates=False,
    )


def run(seed: int, budget: float, name: str, alpha: float) -> Rows:
    """The policy that an agent learned with that fixed α, beside that of the theory."""
    trained = train(recipe(budget), Fixed(alpha), seed)
    obs = torch.ones(1, 1)
    with torch.no_grad():
        found = torch.softmax(trained.module.sac.actor(obs), -1)[0].double().numpy()
    rewards = reward(ACTIONS)
    behind = rewards - rewards.max()
    weights = np.exp(behind / alpha) if alpha > 0.0 else (behind == 0.0).astype(np.float64)
    best = weights / weights.sum()
    return [
        {
            "policy": name,
            "alpha": alpha,
            "seed": seed,
            "action": ACTIONS[i],
            "reward": rewards[i],
            "prob": found[i],
            "theory": best[i],
        }
        for i in range(BINS)
    ]


def jobs(seed: int, budget: float) -> list[Job]:
    """Hard and soft, three seeds each."""
    kinds = (("hard", HARD), ("soft", SOFT))
    return [
        Job(f"{name} policy, seed {each}", partial(run, each, budget, name, alpha), 6 * budget)
        for name, alpha in kinds
        for each in range(seed, seed + 3)
    ]


def draw(table: Table, out: Path) -> None:
    """Reward, then each policy's probabilities, one line per seed."""
    with c.canvas(out, (10.6, 3.7), 1, 3) as (_, grid):
        left, middle, right = grid[0]
        own = table.where(policy="soft").where(seed=table.distinct("seed")[0])
        left.fill_between(own.column("action"), own.column("reward"), color=c.GREY, alpha=0.35, linewidth=0)
        left.plot(own.column("action"), own.column("reward"), color=c.INK, linewidth=1.6)
        left.set_title("reward")
        left.set_ylim(0, 1.3)
        for axes, policy, colour in ((middle, "hard", c.ORANGE), (right, "soft", c.BLUE)):
            half = table.where(policy=policy)
            seeds = half.distinct("seed")
            for seed, dash in zip(seeds, ("-", (0, (4, 1.5)), (0, (1, 1.2))), strict=False):
                line = half.where(seed=seed)
                label = f"seed {seed}" if policy == "hard" else f"{len(seeds)} seeds" * (seed == seeds[0])
                style = {"color": colour, "linestyle": dash, "linewidth": 2.2}
                axes.plot(line.column("action"), line.column("prob"), label=label, **style)
            axes.set_title(f"{policy}: α = {half.column('alpha')[0]:g}")
        left.set_yticks(np.linspace(0, 1, 6))
        middle.set_ylim(0, 1.3)
        right.plot(own.column("action"), own.column("theory"), label="exp(r/α), normalised", **c.TARGET)
        middle.set_yticks(np.linspace(0, 1, 6))
        middle.set_ylabel("probability learned")
        for axes in (left, middle, right):
            axes.set_xlabel("action")
            axes.set_xlim(-1, 1)
        middle.legend(fontsize=9, loc="upper center", ncols=3, columnspacing=1.0, handlelength=1.6)
        right.legend(fontsize=9, loc="upper center")
        right.set_ylim(0, float(table.where(policy="soft").column("prob").max()) * 1.4)


def numbers(table: Table) -> Numbers:
    """How much probability lies on the left, lower peak, and how far the soft policy is from the theory."""
    found: Numbers = {"lower": PEAKS[0][1], "higher": PEAKS[1][1], "alpha": SOFT}
    for policy in ("hard", "soft"):
        half = table.where(policy=policy)
        sides = half.by("action", "seed") < 0.0
        prob = half.by("prob", "seed")
        left = (prob * sides).sum(1)
        found[f"{policy}.left"] = left.mean()
        found[f"{policy}.wrong"] = int((left > 0.5).sum())
        found[f"{policy}.smaller_peak"] = min(*left, *(1.0 - left))
        entropy = -(prob * np.log(np.clip(prob, 1e-30, 1.0))).sum(1)
        found[f"{policy}.entropy"] = entropy.mean()
    soft = table.where(policy="soft")
    apart = 0.5 * np.abs(soft.by("prob", "seed") - soft.by("theory", "seed")).sum(1)
    found["soft.apart"] = apart.max()
    first = soft.where(seed=soft.distinct("seed")[0])
    found["theory.left"] = first.column("theory")[first.column("action") < 0].sum()
    return found


EXPERIMENT = Experiment("f", "two_peaks", jobs, draw, numbers)
