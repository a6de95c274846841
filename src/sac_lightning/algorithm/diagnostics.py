"""How a policy looks on one mini-batch: numbers for people, once a row of the log, outside the update."""

import torch
from jaxtyping import Float
from torch import Tensor

from sac_lightning import losses
from sac_lightning.entropy import Auto, TemperatureRule
from sac_lightning.heads.base import ActionHead
from sac_lightning.networks import Actor, CriticEnsemble
from sac_lightning.types import Alpha, Batch, Origin, WeightedActions, Scalar

PREFIX = "diagnostics/"
DRAWS = 8  # actions per state from which the best is taken where there are infinitely many


class Diagnostics:
    """Reads the networks and changes nothing; it draws nothing either: the noise is an update's own."""

    def __init__(
        self, actor: Actor, critic: CriticEnsemble, head: ActionHead, temperature: TemperatureRule
    ) -> None:
        self._actor, self._critic, self._head = actor, critic, head
        self._temperature = temperature

    @torch.no_grad()
    def of(
        self, batch: Batch, noise: Float[Tensor, "B noise"], origin: Origin, alpha: Alpha, target: Scalar
    ) -> dict[str, Scalar]:
        """0-d tensors by their key in the log, for the present α and H̄: docs/entropy.md explains them."""
        features = self._actor(batch.obs)
        atoms = self._head.weighted_actions(features, noise)
        entropies = losses.entropy(atoms, alpha)
        entropy = entropies.sum()
        q = self._critic.of_atoms(batch.obs, atoms)  # [N, K, B]
        expected = (actions.weight * q.amin(dim=0)).sum(dim=0)
        now = self._head.log_prob(features, batch.action)
        facts = {
            "entropy_squashed": entropy,
            "effective_actions": entropy.exp(),
            "q_spread": expected.std(correction=0),
            "q_disagreement": (actions.weight * (q.amax(dim=0) - q.amin(dim=0))).sum(dim=0).mean(),
            "q_gap": self._gap(batch, features, noise, atoms, q),
            "data_age": origin.age.float().mean(),
            "policy_shift": (now - origin.log_prob).nanmean(),
            **self._head.facts(features, atoms),
        }
        if isinstance(self._temperature, Auto):
            facts["alpha_grad"] = alpha_gradient(self._temperature, alpha.log(), entropies, target)
        for d in range(len(alpha) if alpha.ndim else 0):
            facts |= {f"alpha_{d}": alpha[d], f"entropy_{d}": entropies[d]}
        return {f"{PREFIX}{name}": value for name, value in facts.items()}

    def _gap(
        self,
        batch: Batch,
        features: Float[Tensor, "B F"],
        noise: Float[Tensor, "B noise"],
        atoms: WeightedActions,
        q: Float[Tensor, "N K B"],
    ) -> Scalar:
        """E_s[ max_a Q − E_a Q ]: over all actions, or over eight drawn for an eighth of the states each."""
        if q.shape[1] == 1:
            few = max(1, len(noise) // DRAWS)
            draws = len(noise) // few
            states = batch.obs[:few].repeat(draws, *[1] * (batch.obs.ndim - 1))
            drawn = self._head.weighted_actions(features[:few].repeat(draws, 1), noise[: few * draws])
            values = self._critic.of_atoms(states, drawn).amin(dim=0).view(draws, few)
            return (values.amax(dim=0) - values.mean(dim=0)).mean()
        values = q.amin(dim=0)
        return (values.amax(dim=0) - (actions.weight * values).sum(dim=0)).mean()


@torch.enable_grad()
def alpha_gradient(rule: Auto, log_alpha: Alpha, entropies: Alpha, target: Scalar) -> Scalar:
    """∂J_α/∂log α, its mean where there is one for each dimension: above 0 descent lowers α."""
    share = target / log_alpha.numel() if log_alpha.ndim else target
    free = log_alpha.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.alpha_loss(free, entropies, share, rule.loss_form), [free])
    return gradient.mean()
