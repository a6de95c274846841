"""d. σ, ½ log(2πeσ²) and the entropy of the squashed action: three numbers that differ more as σ grows."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes

from entropy_lab import canvas as c
from entropy_lab.experiment import Experiment, Job, Numbers, Rows, Table, steps
from sac_lightning.heads import TanhNormal

MEANS = (0.0, 1.0, 2.0)
SHOWN = (0.3, 0.9, 3.0)  # σ whose densities are drawn
REACH = 9.0  # standard deviations on either side of μ


def features(head: TanhNormal, mean: float, std: float, copies: int) -> torch.Tensor:
    """Return [copies, 2]: the actor's features for N(mean, std²), the inverse of `mean_and_log_std`."""
    half = 0.5 * (head.log_std_max - head.log_std_min)
    raw = np.arctanh((np.log(std) - head.log_std_min) / half - 1.0)
    return torch.tensor([[mean, raw]], dtype=torch.float64).expand(copies, -1)


def entropies(mean: float, std: float, points: int) -> tuple[float, float]:
    """Return ½ log(2πeσ²) before squashing and the entropy after it, by quadrature of the head's log π."""
    head = TanhNormal(1)
    noise = torch.linspace(-REACH, REACH, points, dtype=torch.float64)
    weight = torch.exp(-0.5 * noise**2)
    given = features(head, mean, std, points)
    log_prob = head.weighted_actions(given, noise[:, None]).log_prob[0]
    return float(head.gaussian_entropy(given[:1])), float(-(weight * log_prob).sum() / weight.sum())


def curves(budget: float) -> Rows:
    """Entropies against σ for each μ."""
    points = steps(121, budget, least=13)
    rows: Rows = []
    for mean in MEANS:
        for std in np.geomspace(0.02, 7.0, points):
            before, after = entropies(mean, float(std), 4001)
            rows.append({"kind": "entropy", "mean": mean, "std": std, "gaussian": before, "squashed": after})
    return rows


def densities(budget: float) -> Rows:
    """π(a) on the unit box for some σ, μ = 0."""
    rows: Rows = []
    action = np.linspace(-0.999, 0.999, steps(401, budget, least=41))
    for std in SHOWN:
        u = np.arctanh(action)
        density = np.exp(-0.5 * (u / std) ** 2) / (std * np.sqrt(2 * np.pi)) / (1 - action**2)
        rows += [
            {"kind": "density", "std": std, "action": a, "density": p}
            for a, p in zip(action, density, strict=True)
        ]
    return rows


def jobs(seed: int, budget: float) -> list[Job]:
    """Quadrature, without random numbers."""
    del seed
    return [
        Job("entropies", partial(curves, budget), 1 * budget),
        Job("densities", partial(densities, budget), 0.1),
    ]


def draw(table: Table, out: Path) -> None:
    """The three numbers against σ; beside them the densities that explain the right half."""
    with c.canvas(out, (10.6, 4.3), 1, 2, width_ratios=(1.7, 1)) as (_, grid):
        _entropies(grid[0, 0], table.where(kind="entropy"))
        _densities(grid[0, 1], table.where(kind="density"))


def _entropies(axes: Axes, table: Table) -> None:
    std = table.where(mean=0.0).column("std")
    axes.plot(std, std, color=c.GREY, linewidth=1.8)
    axes.plot(std, table.where(mean=0.0).column("gaussian"), color=c.ORANGE, linewidth=2.2)
    for mean, dash in zip(MEANS, ("-", (0, (4, 1.5)), (0, (1, 1.2))), strict=True):
        own = table.where(mean=mean).column("squashed")
        axes.plot(std, own, color=c.BLUE, linewidth=2.2, linestyle=dash, label=f"μ = {mean:g}")
    axes.axhline(np.log(2), **c.TARGET)
    axes.set_ylim(-5.4, 3.4)
    axes.set_xlim(0.02, 7)
    c.log_axis(axes, "x")
    axes.set_xlabel("σ of the Gaussian before squashing")
    axes.set_ylabel("nats (and σ itself)")
    c.note(axes, 1.35, 2.35, "½ log(2πeσ²)", c.ORANGE, ha="right")
    c.note(axes, 0.024, 0.92, "log 2, the uniform policy: no entropy is larger")
    c.note(axes, 0.024, 0.24, "σ itself", c.MUTED)
    axes.legend(title="entropy of tanh(μ + σε)", loc="lower center", ncols=3, fontsize=9, title_fontsize=9)


def _densities(axes: Axes, table: Table) -> None:
    for std, colour in zip(SHOWN, (c.PURPLE, c.BLUE, c.GREEN), strict=True):
        own = table.where(std=std)
        axes.plot(own.column("action"), own.column("density"), color=colour, label=f"σ = {std:g}", lw=2.0)
    axes.set_ylim(0, 2.6)
    axes.set_xlim(-1, 1)
    axes.set_xticks((-1.0, -0.5, 0.0, 0.5, 1.0))
    axes.set_xlabel("action a = tanh(σε)")
    axes.set_ylabel("density π(a)")
    axes.legend(fontsize=9, loc="upper center", ncols=3, columnspacing=1.0, handlelength=1.2)


def numbers(table: Table) -> Numbers:
    """Where the true entropy is largest, and how far the Gaussian formula is off."""
    own = table.where(kind="entropy", mean=0.0)
    std, gaussian, true = own.column("std"), own.column("gaussian"), own.column("squashed")
    best = int(true.argmax())
    found = {"best_std": std[best], "best_entropy": true[best], "log2": float(np.log(2))}
    for name, at in (("small", 0.1), ("one", 1.0), ("large", 5.0)):
        i = int(np.abs(np.log(std / at)).argmin())
        found |= {f"{name}.std": std[i], f"{name}.gaussian": gaussian[i], f"{name}.true": true[i]}
    return found


EXPERIMENT = Experiment("d", "squashed", jobs, draw, numbers)
