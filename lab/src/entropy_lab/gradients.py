"""e. rsample against sample: which gradient reaches μ and σ, and how noisy the score function is."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from entropy_lab import canvas as c
from entropy_lab.experiment import Experiment, Job, Numbers, Rows, Table, steps
from sac_lightning.core.seeding import torch_generator
from sac_lightning.heads import TanhNormal

MEAN, STD, BEST = 0.2, 0.5, 0.6
SIZES = (1, 2, 4, 8, 16, 32)
DRAWN = 300  # gradients that the figure shows one by one
ESTIMATORS = {
    "rsample": ("rsample: through the action", c.BLUE),
    "score": ("score function", c.ORANGE),
    "baseline": ("score function, with baseline", c.GREEN),
    "sample": ("sample, differentiated like rsample", c.GREY),
}


def q_value(action: Tensor) -> Tensor:
    """Return [N] for actions [N, A]: a Q that is highest at BEST in every dimension."""
    return -(action - BEST).square().sum(-1)


def parameters(draws: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return μ and σ, a copy per draw so that each has its own gradient, and the actor's features."""
    head = TanhNormal(size)
    mean = torch.full((draws, size), MEAN, dtype=torch.float64, requires_grad=True)
    std = torch.full((draws, size), STD, dtype=torch.float64, requires_grad=True)
    half = 0.5 * (head.log_std_max - head.log_std_min)
    raw = torch.atanh((std.log() - head.log_std_min) / half - 1.0)
    return mean, std, torch.cat((mean, raw), -1)


def gradient(estimator: str, noise: Tensor) -> Tensor:
    """Return [2, N]: each draw's estimate of d E[Q] / dμ and d E[Q] / dσ in the first dimension."""
    draws, size = noise.shape
    head = TanhNormal(size)
    mean, std, given = parameters(draws, size)
    pre, _ = head.reparameterise(given, noise)  # rsample: u = μ + σε
    drawn = pre.detach()  # sample: the same numbers, detached
    q = q_value(torch.tanh(pre if estimator == "rsample" else drawn))
    if estimator in ("score", "baseline"):
        level = q.mean() if estimator == "baseline" else 0.0
        log_prob = (-0.5 * ((drawn - mean) / std).square() - std.log()).sum(-1)
        q = (q - level) * log_prob
    if not q.requires_grad:
        return torch.zeros(2, draws, dtype=torch.float64)
    of_mean, of_std = torch.autograd.grad(q.sum(), [mean, std])
    return torch.stack((of_mean[:, 0], of_std[:, 0]))


def exact() -> Tensor:
    """Return [2]: the gradient by quadrature; it is the same in every dimension, for every A."""
    noise = torch.linspace(-8.0, 8.0, 8001, dtype=torch.float64)
    weight = torch.exp(-0.5 * noise**2)
    return (weight * gradient("rsample", noise[:, None])).sum(1) / weight.sum()


def estimates(seed: int, budget: float) -> Rows:
    """Single draws in one dimension, then the spread of the estimates by A."""
    generator = torch_generator(seed)
    true = exact()
    rows: Rows = [{"kind": "exact", "of_mean": float(true[0]), "of_std": float(true[1])}]
    draws = steps(100_000, budget, least=2_000)
    for size in SIZES:
        noise = torch.randn(draws, size, generator=generator, dtype=torch.float64)
        for name in ESTIMATORS:
            found = gradient(name, noise)
            row: dict[str, float | str] = {"kind": "spread", "estimator": name, "size": size, "draws": draws}
            rows.append({**row, **_columns(found.mean(1)), **_columns(found.std(1), "spread_")})
            if size == 1:
                shown = found[:, : 1 if name == "sample" else DRAWN].T
                rows += [{"kind": "draw", "estimator": name, "size": 1, **_columns(each)} for each in shown]
    return rows


def _columns(pair: Tensor, prefix: str = "") -> dict[str, float]:
    return {f"{prefix}of_mean": float(pair[0]), f"{prefix}of_std": float(pair[1])}


def jobs(seed: int, budget: float) -> list[Job]:
    """No training."""
    return [Job("gradient estimates", partial(estimates, seed, budget), 3 * budget)]


def draw(table: Table, out: Path) -> None:
    """Each draw's gradient to μ and to σ; the spread as the action grows."""
    with c.canvas(out, (11.2, 4.4), 1, 3, width_ratios=(1, 1, 1.15)) as (_, grid):
        _draws(grid[0, 0], table, "of_mean", "gradient to μ, one draw each")
        _draws(grid[0, 1], table, "of_std", "gradient to σ, one draw each")
        _spread(grid[0, 2], table.where(kind="spread"))
        names = ("rsample", "score\nfunction", "…with\nbaseline", "sample")
        grid[0, 0].set_yticks(range(len(names)), names)
        grid[0, 1].set_yticks(range(len(names)), [""] * len(names))


def _draws(axes: Axes, table: Table, key: str, title: str) -> None:
    jitter = np.random.default_rng(0)
    for place, (name, (_, colour)) in enumerate(ESTIMATORS.items()):
        x = table.where(kind="draw", estimator=name).column(key)
        if len(x) == 1:
            axes.scatter(x, [place], s=44, color=colour, linewidth=0)
        else:
            y = place + jitter.uniform(-0.28, 0.28, len(x))
            axes.scatter(x, y, s=7, color=colour, alpha=0.55, linewidth=0)
    true = float(table.where(kind="exact").column(key)[0])
    axes.axvline(true, **c.TARGET)
    c.note(axes, true, -0.62, "exact", ha="center", va="center")
    c.note(axes, -0.3, 3.0, "always 0", c.MUTED, va="center", ha="right")
    axes.set_xlim(-5, 5)
    axes.set_ylim(3.5, -0.85)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(title)


def _spread(axes: Axes, table: Table) -> None:
    for name, (label, colour) in ESTIMATORS.items():
        own = table.where(estimator=name)
        if name != "sample":
            axes.plot(own.column("size"), own.column("spread_of_mean"), "o-", color=colour, ms=4, label=label)
    c.log_axis(axes, "x")
    c.log_axis(axes)
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.set_xlabel("A, dimensions of the action")
    axes.set_ylabel("standard deviation of one draw's gradient to μ")
    axes.set_ylim(bottom=0.4)
    axes.legend(fontsize=9, loc="upper left")


def numbers(table: Table) -> Numbers:
    """Exact gradients, spreads at A = 1 and at the largest A, and the draws needed for equal precision."""
    true = table.where(kind="exact")
    found: Numbers = {"exact.of_mean": true.column("of_mean")[0], "exact.of_std": true.column("of_std")[0]}
    for size in (SIZES[0], SIZES[-1]):
        own = table.where(kind="spread", size=size)
        spread = {name: own.where(estimator=name).column("spread_of_mean")[0] for name in ESTIMATORS}
        found |= {f"spread.{name}.{size}": value for name, value in spread.items()}
        for name in ("score", "baseline"):
            found[f"draws.{name}.{size}"] = (spread[name] / spread["rsample"]) ** 2
    found["sample"] = float(np.abs(table.where(kind="spread", estimator="sample").column("of_mean")).max())
    return found


EXPERIMENT = Experiment("e", "gradients", jobs, draw, numbers)
