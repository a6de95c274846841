"""How a policy looks on one mini-batch: numbers for people, once a row of the log, outside the update."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from sac_lightning.algorithm import losses
from sac_lightning.algorithm.sac import SAC
from sac_lightning.types import Alpha, Batch, Scalar, WeightedActions

PREFIX = "diagnostics/"
DRAWS = 8  # actions per state from which the best is taken where there are infinitely many


class Diagnostics:
    """Reads the networks and changes nothing; it draws nothing either: the noise is an update's own.

    Args:
        sac: the algorithm that is looked at.
    """

    def __init__(self, sac: SAC) -> None:
        self._sac = sac

    @torch.no_grad()
    def of(
        self, batch: Batch, noise: Float[Tensor, "B noise"], age: Shaped[Tensor, " B"]
    ) -> dict[str, Scalar]:
        """Returns scalars by their key in the log; docs/entropy.md explains them.

        Args:
            batch: raw transitions.
            noise: for the actor's actions.
            age: env steps since the transitions were stored; NaN for prior data.
        """
        sac, batch = self._sac, self._sac.normalized(batch)
        alpha = sac.temperature.alpha(sac.log_alpha.detach(), sac.env_steps)
        features = sac.actor(batch.obs)
        actions = sac.head.weighted_actions(features, noise)
        entropies = losses.entropy(actions, alpha)
        entropy = entropies.sum()
        q = self._q(batch.obs, actions)  # [N, K, B]
        expected = (actions.weight * sac.pessimism.value(q)).sum(dim=0)
        now = sac.head.log_prob(features, batch.action)
        found = {
            "entropy_squashed": entropy,
            "effective_actions": entropy.exp(),
            "q_spread": expected.std(correction=0),
            "q_disagreement": (actions.weight * (q.amax(dim=0) - q.amin(dim=0))).sum(dim=0).mean(),
            "q_gap": self._gap(batch, features, noise, actions, q),
            "data_age": age.float().nanmean(),
            "policy_shift": (now - batch.log_prob).nanmean(),
            **sac.head.diagnostics(features, actions),
        }
        if sac.temperature.learned:
            found["alpha_grad"] = self._alpha_gradient(batch, entropies)
        for d in range(len(alpha) if alpha.ndim else 0):
            found |= {f"alpha_{d}": alpha[d], f"entropy_{d}": entropies[d]}
        return {f"{PREFIX}{name}": value for name, value in found.items()}

    def _q(self, obs: Tensor, actions: WeightedActions) -> Float[Tensor, "N K B"]:
        return self._sac.value_head.mean(self._sac.critic.features_of_policy(obs, actions))

    @torch.enable_grad()
    def _alpha_gradient(self, batch: Batch, entropies: Alpha) -> Scalar:
        """∂J_α/∂log α, its mean where there is one for each dimension: above 0 descent lowers α."""
        sac = self._sac
        free = sac.log_alpha.detach().clone().requires_grad_()
        share = sac.target_of_allowed(sac.target_entropy, batch) / free.numel()
        (gradient,) = torch.autograd.grad(sac.temperature.loss(free, entropies, share), [free])
        return gradient.mean()

    def _gap(
        self,
        batch: Batch,
        features: Float[Tensor, "B F"],
        noise: Float[Tensor, "B noise"],
        actions: WeightedActions,
        q: Float[Tensor, "N K B"],
    ) -> Scalar:
        """E_s[ max_a Q − E_a Q ]: over all actions, or over eight drawn for an eighth of the states each."""
        pessimism = self._sac.pessimism
        if q.shape[1] == 1:
            few = max(1, len(noise) // DRAWS)
            draws = len(noise) // few
            states = batch.obs[:few].repeat(draws, *[1] * (batch.obs.ndim - 1))
            few_actions = self._sac.head.weighted_actions(
                features[:few].repeat(draws, 1), noise[: few * draws]
            )
            values = pessimism.value(self._q(states, few_actions)).view(draws, few)
            return (values.amax(dim=0) - values.mean(dim=0)).mean()
        values = pessimism.value(q)
        possible = torch.where(actions.weight > 0.0, values, -torch.inf)
        return (possible.amax(dim=0) - (actions.weight * values).sum(dim=0)).mean()
