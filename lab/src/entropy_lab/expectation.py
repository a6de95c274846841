"""g. The exact expectation over all actions against a sampled one: the noise of the actor's gradient."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from entropy_lab import canvas as c
from entropy_lab.agents import Recipe, Trained, train
from entropy_lab.experiment import Experiment, Job, Numbers, Rows, Table, steps
from sac_lightning.algorithm import losses
from sac_lightning.core.seeding import torch_generator
from sac_lightning.entropy import LearnedTemperature
from sac_lightning.envs import EnvConfig

TOTAL = 2_500
STATES, BATCH = 2_048, 128
SAMPLES = (1, 2, 4, 8, 16, 32)
ESTIMATORS = {"score": ("sampled", c.ORANGE), "baseline": ("sampled, with V(s) as baseline", c.GREEN)}


class ActorGradient:
    """Computes the gradient of J_π at one batch of states, exactly or from sampled actions."""

    def __init__(self, trained: Trained, obs: Tensor) -> None:
        module = trained.module
        self.weights = list(module.sac.actor.parameters())
        self.actions = module.sac.head.weighted_actions(module.sac.actor(obs), torch.empty(len(obs), 0))
        self.alpha = module.sac.log_alpha.detach().exp()
        with torch.no_grad():
            self.q = module.sac.value_head.mean(module.sac.critic.features_of_policy(obs, self.actions)).amin(
                0
            )  # [n, B]

    def exact(self) -> Tensor:
        """Return it from the sum over all actions, as the losses have it."""
        return self._of(losses.actor_loss(losses.soft_value(self.q, self.actions, self.alpha)))

    def sampled(self, samples: int, with_baseline: bool, generator: torch.Generator) -> Tensor:
        """Return E_a[(α log π − Q) ∇log π] from `samples` actions per state, sampled from π."""
        prob, log_prob = self.actions.weight.detach(), self.actions.log_prob
        drawn = torch.multinomial(prob.T, samples, replacement=True, generator=generator)  # [B, samples]
        cost = self.alpha * log_prob.detach() - self.q  # [n, B]
        if with_baseline:
            cost = cost - (prob * cost).sum(0)
        share = torch.nn.functional.one_hot(drawn, prob.shape[0]).float().mean(1).T  # [n, B]
        return self._of((share * cost * log_prob).sum(0).mean())

    def _of(self, loss: Tensor) -> Tensor:
        found = torch.autograd.grad(loss, self.weights, retain_graph=True)
        return torch.cat([each.flatten() for each in found])


def run(seed: int, budget: float) -> Rows:
    """An Acrobot agent in the middle of learning, and the spread of its actor's gradient."""
    recipe = Recipe(EnvConfig(id="Acrobot-v1"), steps(TOTAL, budget, least=600), 500, evaluates=False)
    trained = train(recipe, LearnedTemperature(lr=1e-3), seed)
    assert trained.data.experience is not None
    obs = trained.data.experience.replay.sample(STATES).obs
    generator, repeats = torch_generator(seed), steps(200, budget, least=10)
    batches = [
        ActorGradient(trained, obs[torch.randint(STATES, (BATCH,), generator=generator)]).exact()
        for _ in range(repeats)
    ]
    whole = ActorGradient(trained, obs).exact()
    length = float(whole.norm())
    rows: Rows = [{"kind": "states", "samples": 0, "relative_std": spread(batches, whole) / length}]
    one = ActorGradient(trained, obs[:BATCH])
    true = one.exact()
    for name in ESTIMATORS:
        for samples in SAMPLES:
            found = [one.sampled(samples, name == "baseline", generator) for _ in range(repeats)]
            off = float((torch.stack(found).mean(0) - true).norm()) / length
            row: dict[str, float | str] = {
                "kind": name,
                "samples": samples,
                "relative_std": spread(found, true) / length,
            }
            row["relative_error_of_mean"] = off
            rows.append(row)
    again = spread([one.exact() for _ in range(3)], true) / length
    return [*rows, {"kind": "exact", "samples": 0, "relative_std": again}]


def spread(found: list[Tensor], centre: Tensor) -> float:
    """Return √E‖g − centre‖²."""
    return float((torch.stack(found) - centre).square().sum(1).mean().sqrt())


def jobs(seed: int, budget: float) -> list[Job]:
    """One agent."""
    return [Job("actor gradient on Acrobot", partial(run, seed, budget), 15 * budget)]


def draw(table: Table, out: Path) -> None:
    """Spread against the number of actions sampled; the exact sum has none, that of the states stays."""
    with c.canvas(out, (8.0, 4.4), 1, 1) as (_, grid):
        axes = grid[0, 0]
        for name, (label, colour) in ESTIMATORS.items():
            own = table.where(kind=name)
            x, y = own.column("samples"), own.column("relative_std")
            axes.plot(x, y, "o-", color=colour, markersize=5, label=label)
        states = float(table.where(kind="states").column("relative_std")[0])
        axes.axhline(states, color=c.MUTED, linewidth=1.4, linestyle=(0, (1, 1.5)))
        axes.plot([], [], color=c.BLUE, linewidth=3.0, label="sum over all actions: 0")
        c.note(axes, SAMPLES[-1], states * 1.25, "from the choice of states: stays", c.MUTED, ha="right")
        c.log_axis(axes, "x")
        axes.set_yscale("log")
        axes.set_ylim(top=3 * axes.get_ylim()[1])
        c.log_axis(axes)
        floor = axes.get_ylim()[0]
        axes.axhline(floor, color=c.BLUE, linewidth=6.0)
        c.note(axes, SAMPLES[0], floor * 1.4, "sum over all actions: 0, below any log axis", c.BLUE)
        axes.set_xticks(SAMPLES, [str(each) for each in SAMPLES])
        axes.set_xlabel("actions sampled in each state")
        axes.set_ylabel("standard deviation of the actor's gradient,\nin lengths of the gradient")
        axes.legend(fontsize=9.5, loc="upper right")


def numbers(table: Table) -> Numbers:
    """Spreads at one sampled action, at the most, and of the states."""
    found: Numbers = {"states": table.where(kind="states").column("relative_std")[0]}
    found["exact"] = table.where(kind="exact").column("relative_std")[0]
    for name in ESTIMATORS:
        for samples in (SAMPLES[0], SAMPLES[-1]):
            own = table.where(kind=name, samples=samples)
            found[f"{name}.{samples}"] = own.column("relative_std")[0]
    found["off"] = float(np.nanmax(table.where(kind="baseline").column("relative_error_of_mean")))
    return found


EXPERIMENT = Experiment("g", "expectation", jobs, draw, numbers)
