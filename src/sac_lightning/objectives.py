"""The losses put to the networks: one objective for the critics, one for the actor, one for log α."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sac_lightning import losses
from sac_lightning.heads.base import ActionHead
from sac_lightning.losses import LossForm
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


class AlphaObjective(nn.Module):
    """J_α of a policy's entropy, and by how much that entropy exceeds its target."""

    def __init__(self, log_alpha: nn.Parameter, form: LossForm) -> None:
        super().__init__()
        self.log_alpha, self.form = log_alpha, form

    def forward(self, entropy: Alpha, target: Scalar) -> tuple[Scalar, Alpha]:
        """With one α for each dimension, each aims at its share of `target`, H̄/A."""
        share = target / self.log_alpha.numel()
        return losses.alpha_loss(self.log_alpha, entropy, share, self.form), entropy - share
