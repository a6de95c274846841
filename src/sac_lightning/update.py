"""The gradients of one update: the losses put to the networks, eager or compiled, from the same lines."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.optim import Optimizer

from sac_lightning import losses
from sac_lightning.entropy import Auto, TargetEntropyRule, TemperatureRule
from sac_lightning.heads.base import ActionHead
from sac_lightning.networks import Actor, CriticEnsemble
from sac_lightning.types import Alpha, Batch, Scalar


class CriticObjective(nn.Module):
    """J_Q of a mini-batch, and the mean Q of its actions."""

    def __init__(
        self, actor: Actor, critic: CriticEnsemble, target: CriticEnsemble, head: ActionHead, gamma: float
    ) -> None:
        super().__init__()
        self.actor, self.critic, self.target = actor, critic, target
        self.head, self.gamma = head, gamma

    def forward(self, batch: Batch, noise: Float[Tensor, "B noise"], alpha: Alpha) -> tuple[Scalar, Scalar]:
        """`noise` is for the next action, drawn afresh from the present policy."""
        with torch.no_grad():  # the target is a constant: 1812.05905 eq. 6 differentiates Q alone
            next_atoms = self.head.atoms(self.actor(batch.next_obs), noise)
            next_q = self.target.of_atoms(batch.next_obs, next_atoms)
            next_value = losses.soft_value(next_q, next_atoms, alpha)
            y = losses.critic_target(batch.reward, batch.terminated, next_value, self.gamma)
        q = self.critic.taken(batch.obs, batch.action)
        return losses.critic_loss(q, y), q.detach().mean()


class ActorObjective(nn.Module):
    """J_π on the states of a mini-batch, and the policy's mean entropy there: `losses.entropy`."""

    def __init__(self, actor: Actor, critic: CriticEnsemble, head: ActionHead) -> None:
        super().__init__()
        self.actor, self.critic, self.head = actor, critic, head

    def forward(self, batch: Batch, noise: Float[Tensor, "B noise"], alpha: Alpha) -> tuple[Scalar, Alpha]:
        """`noise` is for the action at `batch.obs`."""
        atoms = self.head.atoms(self.actor(batch.obs), noise)
        value = losses.soft_value(self.critic.of_atoms(batch.obs, atoms), atoms, alpha)
        return losses.actor_loss(value), losses.entropy(atoms, alpha).detach()


class Gradient(NamedTuple):
    """A loss, its gradient for each parameter of one network, and the objective's second number."""

    loss: Scalar
    gradients: Sequence[Tensor]
    told: Alpha


class GradientOf:
    """Differentiates an objective with respect to one of its networks; the others are constants of it.

    Nothing has to be frozen and thawed: eager, `torch.autograd.grad` walks only towards the parameters
    asked for; compiled, loss and gradient are one full graph. `autocast` runs the matrix products in
    bfloat16; the networks answer in float32, so densities and targets stay exact.
    """

    def __init__(
        self, objective: nn.Module, network: str, *, compiled: bool = False, autocast: bool = False
    ) -> None:
        self._objective = objective
        self._autocast = autocast
        self._parameters: dict[str, Tensor] = {
            f"{network}.{name}": parameter
            for name, parameter in objective.get_submodule(network).named_parameters()
        }
        self._run = self._compiled() if compiled else self._eager

    def __call__(self, batch: Batch, noise: Tensor, alpha: Alpha) -> Gradient:
        return self._run(batch, noise, alpha)

    def _value(self, parameters: dict[str, Tensor] | None, *inputs: Any) -> tuple[Scalar, Alpha]:
        with torch.autocast(inputs[0].reward.device.type, torch.bfloat16, enabled=self._autocast):
            if parameters is None:
                loss, told = self._objective(*inputs)
            else:
                loss, told = functional_call(self._objective, parameters, inputs)
        return loss, told

    def _eager(self, batch: Batch, noise: Tensor, alpha: Alpha) -> Gradient:
        loss, told = self._value(None, batch, noise, alpha)
        return Gradient(loss.detach(), torch.autograd.grad(loss, list(self._parameters.values())), told)

    def _compiled(self) -> Callable[[Batch, Tensor, Tensor], Gradient]:
        differentiated = torch.compile(
            grad_and_value(self._value, has_aux=True), fullgraph=True, dynamic=False
        )

        def run(batch: Batch, noise: Tensor, alpha: Alpha) -> Gradient:
            gradients, (loss, told) = differentiated(self._parameters, batch, noise, alpha)
            return Gradient(loss, list(gradients.values()), told)

        return run


def load_gradients(network: nn.Module, gradients: Sequence[Tensor], max_norm: float | None) -> None:
    """Put `gradients` where the network's optimizer reads them, clipped together to `max_norm`."""
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter.grad = gradient
    if max_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), max_norm)


def step_target(
    rule: TargetEntropyRule,
    head: ActionHead,
    target: Scalar,
    memory: Float[Tensor, " M"],
    entropy: Scalar,
    env_steps: Int[Tensor, ""],
) -> Scalar:
    """H̄ of this update. A rule that moves it leaves `target` and `memory` changed in place."""
    if not rule.moves:
        return target
    moved, remembered = rule.next(head, target, memory, entropy, env_steps)
    target.copy_(moved)
    memory.copy_(remembered)
    return moved


def step_log_alpha(
    rule: TemperatureRule, log_alpha: nn.Parameter, entropy: Alpha, target: Scalar, optimizer: Optimizer
) -> Scalar:
    """One step of descent on J_α, then back within the rule's limits; the loss before it, detached.

    With one α for each dimension, each aims at its share of `target`, H̄/A.
    """
    assert isinstance(rule, Auto)
    share = target / log_alpha.numel() if log_alpha.ndim else target
    loss = losses.alpha_loss(log_alpha, entropy, share, rule.loss_form)
    (log_alpha.grad,) = torch.autograd.grad(loss, [log_alpha])
    if rule.max_grad_norm is not None:
        nn.utils.clip_grad_norm_([log_alpha], rule.max_grad_norm)
    optimizer.step()
    with torch.no_grad():
        rule.project_(log_alpha)
    return loss.detach()
