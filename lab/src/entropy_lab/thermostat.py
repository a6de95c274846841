"""a. α as a thermostat: the policy is fixed too narrow, then too wide, and released each time."""

from functools import partial
from pathlib import Path

import torch
from matplotlib.axes import Axes

from entropy_lab import canvas as c
from entropy_lab.agents import Recipe, train
from entropy_lab.experiment import Experiment, Job, Numbers, Rows, Table, steps
from sac_lightning.entropy import LearnedTemperature, MaxRatio
from sac_lightning.envs import EnvConfig
from sac_lightning.heads import Categorical
from sac_lightning.training.datamodule import ReplayDataModule
from sac_lightning.training.module import SACModule
from sac_lightning.types import WeightedActions

TOTAL = 8_000
STATES = 512
# As shares of the run: when the policy is held, and the entropy at which it is held, as a share of log n.
HOLDS = (("narrow", 0.50, 0.575, 0.10), ("wide", 0.75, 0.825, 0.98))
PANELS = (
    ("entropy", "entropy, nats", c.BLUE),
    ("alpha", "temperature α", c.ORANGE),
    ("q", "mean Q", c.GREEN),
    ("peak", "probability of\nthe likelier action", c.PURPLE),
)


class Holds:
    """Stops the actor for a while, with logits scaled to a given entropy, then lets it learn again.

    It adds the likelier action's probability to every row.
    """

    def __init__(self, total: int) -> None:
        top = Categorical(2).entropy_interval.high
        self._spans = [(begin * total, end * total, share * top) for _, begin, end, share in HOLDS]
        self._held: float | None = None
        self._lr = 0.0

    def __call__(
        self, module: SACModule, data: ReplayDataModule, env_steps: int, row: dict[str, float]
    ) -> None:
        """After each row: stop or release the actor where a span starts or ends."""
        obs = some_states(data)
        with torch.no_grad():
            row["peak"] = float(policy(module, obs).weight.amax(0).mean())
        wanted = next((at for begin, end, at in self._spans if begin <= env_steps < end), None)
        if wanted == self._held:
            return
        (group,) = module.trainer.optimizers[1].param_groups  # critic, actor, log_alpha
        if wanted is not None:
            self._lr, group["lr"] = group["lr"], 0.0
            scale_logits(module, obs, wanted)
        else:
            group["lr"] = self._lr
        self._held = wanted


def some_states(data: ReplayDataModule) -> torch.Tensor:
    """States of the replay buffer, evenly spread over its age; no random number is drawn."""
    assert data.experience is not None
    replay = data.experience.replay
    return replay.store[0][torch.linspace(0, len(replay) - 1, STATES).long()]


def policy(module: SACModule, obs: torch.Tensor, scale: float = 1.0) -> WeightedActions:
    """The policy at `obs`, its logits multiplied by `scale`."""
    return module.sac.head.weighted_actions(scale * module.sac.actor(obs), torch.empty(len(obs), 0))


@torch.no_grad()
def scale_logits(module: SACModule, obs: torch.Tensor, entropy: float) -> None:
    """Multiply the actor's last layer so that the policy's mean entropy at `obs` is `entropy`."""
    low, high = 1e-4, 1e4  # entropy falls as the logits grow
    for _ in range(60):
        middle = (low * high) ** 0.5
        above = float(policy(module, obs, middle).entropy.mean()) > entropy
        low, high = (middle, high) if above else (low, middle)
    for weight in module.sac.actor.output.parameters():
        weight.mul_(middle)


def run(seed: int, budget: float) -> Rows:
    """One CartPole agent with H̄ = 0.5 log n, held twice."""
    total = steps(TOTAL, budget, least=400)
    every = max(10, total // 160)
    recipe = Recipe(
        EnvConfig(id="CartPole-v1"), total, learning_starts=total // 16, log_every=every, evaluates=False
    )
    rule = LearnedTemperature(lr=1.5e-3, target_entropy=MaxRatio(0.5))
    trained = train(recipe, rule, seed, after_row=Holds(total))
    rows: Rows = []
    for at, row in trained.log.items():
        if "train/alpha" not in row:
            continue
        held = next((name for name, begin, end, _ in HOLDS if begin * total < at <= end * total), "")
        rows.append(
            {
                "env_steps": at,
                "held": held,
                "entropy": row["train/entropy"],
                "target": row["train/target_entropy"],
                "alpha": row["train/alpha"],
                "q": row["train/q_mean"],
                "peak": row["peak"],
            }
        )
    return rows


def jobs(seed: int, budget: float) -> list[Job]:
    """One run."""
    return [Job("thermostat", partial(run, seed, budget), 26 * budget)]


def draw(table: Table, out: Path) -> None:
    """Entropy, α, Q and policy under one another, the two holds shaded."""
    x = table.column("env_steps")
    spans = {name: table.where(held=name).column("env_steps") for name, *_ in HOLDS}
    with c.canvas(out, (8.6, 8.0), 4, 1, sharex=True) as (_, grid):
        for panel, (key, label, colour) in zip(grid[:, 0], PANELS, strict=True):
            panel.plot(x, table.column(key), color=colour, linewidth=1.8)
            panel.set_ylabel(label)
            for span in spans.values():
                panel.axvspan(span.min() - (x[1] - x[0]), span.max(), color=c.INK, alpha=0.07, lw=0)
        top: Axes = grid[0, 0]
        top.plot(x, table.column("target"), label="target", **c.TARGET)
        top.set_ylim(0, 0.84)
        for text, name in (("held narrow", "narrow"), ("held wide", "wide")):
            middle = float(spans[name].mean())
            c.note(top, middle, 0.78, text, ha="center", va="center")
        c.note(top, x[0] + 40, float(table.column("target")[0]) - 0.02, "target H̄", va="top")
        alpha: Axes = grid[1, 0]
        alpha.set_yscale("log")
        alpha.set_ylim(top=1.7 * table.column("alpha").max())
        c.log_axis(alpha)
        for text, name in (("below: α rises", "narrow"), ("above: α falls", "wide")):
            high = alpha.get_ylim()[1] / 1.12
            c.note(alpha, float(spans[name].mean()), high, text, c.ORANGE, ha="center", va="top")
        grid[3, 0].set_ylim(0.48, 1.0)
        c.env_steps(grid[3, 0], float(x.max()))


def numbers(table: Table) -> Numbers:
    """α and Q where each hold begins and ends, and the policy's answer after it."""
    found: Numbers = {"target": table.column("target")[0]}
    at = table.column("env_steps")
    for name, *_ in HOLDS:
        span = table.where(held=name).column("env_steps")
        before, during = at < span.min(), (at >= span.min()) & (at <= span.max())
        after = (at > span.max()) & (at <= span.max() + 3 * (span.max() - span.min()))
        alpha, q, entropy = table.column("alpha"), table.column("q"), table.column("entropy")
        found[f"{name}.entropy"] = entropy[during].mean()
        found[f"{name}.alpha_before"] = alpha[before][-1]
        found[f"{name}.alpha_end"] = alpha[during][-1]
        found[f"{name}.alpha_factor"] = alpha[during][-1] / alpha[before][-1]
        found[f"{name}.q_before"] = q[before][-1]
        extreme = max if name == "narrow" else min
        found[f"{name}.q_after"] = extreme(q[during | after])
        found[f"{name}.entropy_after"] = extreme(entropy[after]) if after.any() else entropy[-1]
    found["entropy_end"] = table.column("entropy")[-10:].mean()
    return found


EXPERIMENT = Experiment("a", "thermostat", jobs, draw, numbers)
