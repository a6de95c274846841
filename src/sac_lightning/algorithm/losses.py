"""The losses of Soft Actor-Critic as pure functions of tensors, in the order in which an update uses them.

Sources: SAC 1801.01290, SAC-v2 1812.05905, discrete SAC 1910.07207. Shape letters: see types.py.
Nothing here knows a network, an optimizer or an action space: an action head returns weighted actions,
and every expectation over actions below is the same sum over them.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sac_lightning.types import Alpha, Scalar, WeightedActions

LossForm = Literal["log_alpha", "alpha"]


def soft_value(q: Float[Tensor, "K B"], actions: WeightedActions, alpha: Alpha) -> Float[Tensor, " B"]:
    """V(s) = E_{a~π}[ Q(s,a) − α log π(a|s) ]     (1812.05905 eq. 3; discrete: 1910.07207 eq. 10)

    `q` is the ensemble's value after `pessimism`, by default min_i Q_i (clipped double Q, 1802.09477).
    Deviation: the minimum is taken per action, before the expectation.
    """
    return (actions.weight * (q - weighted_log_prob(actions, alpha))).sum(dim=0)


def weighted_log_prob(actions: WeightedActions, alpha: Alpha) -> Float[Tensor, "K B"]:
    """α log π(a|s); with one α for each independent action dimension Σ_d α_d log π_d(a_d|s)."""
    if alpha.ndim == 0:
        return alpha * actions.log_prob
    assert actions.log_prob_dims is not None
    return (alpha * actions.log_prob_dims).sum(dim=-1)


def entropy(actions: WeightedActions, alpha: Alpha) -> Alpha:
    """H = −E_s[ Σ_k weight · log_prob ], or with one α per dimension the H_d that add up to H.

    The result has the shape of `alpha`.
    """
    if alpha.ndim == 0:
        return actions.entropy.mean()
    assert actions.log_prob_dims is not None
    return -(actions.weight[..., None] * actions.log_prob_dims).sum(dim=0).mean(dim=0)


def critic_target(
    reward: Float[Tensor, " B"], discount: Float[Tensor, " B"], next_value: Float[Tensor, " B"]
) -> Float[Tensor, " B"]:
    """y = r + discount · V̄(s'), with discount = γ (1 − terminated)     (1812.05905 eq. 2 and 5)

    Deviation: none; but note what is absent. A truncated episode was cut by a clock, not by the task, so
    truncation does not appear here and the transition keeps its bootstrap.
    """
    return reward + discount * next_value


def critic_loss(
    features: Float[Tensor, "N B 1"], target: Float[Tensor, " B"], weight: Float[Tensor, " B"]
) -> Scalar:
    """J_Q = Σ_i E[ weight · ½ (Q_i(s,a) − y)² ]     (1812.05905 eq. 5)

    `features` are the critics' outputs, one number for each action. Deviation: summed over the ensemble, so
    that each critic's gradient is what it would be alone.
    """
    return 0.5 * (weight * (features.squeeze(-1) - target).square()).mean(dim=1).sum()


def huber_critic_loss(
    features: Float[Tensor, "N B 1"],
    target: Float[Tensor, " B"],
    weight: Float[Tensor, " B"],
    delta: float,
) -> Scalar:
    """J_Q = Σ_i E[ weight · huber(Q_i − y) ], ½ e² up to |e| = δ and δ (|e| − δ/2) beyond     (2007.06049)"""
    q = features.squeeze(-1)
    error = F.huber_loss(q, target.expand_as(q), reduction="none", delta=delta)
    return (weight * error).mean(dim=1).sum()


def clipped_critic_loss(
    features: Float[Tensor, "N B 1"],
    target_features: Float[Tensor, "N B 1"],
    target: Float[Tensor, " B"],
    weight: Float[Tensor, " B"],
    clip: float,
) -> Scalar:
    """J_Q = Σ_i E[ weight · ½ max( (Q_i − y)², (Q̄_i + clip(Q_i − Q̄_i, ±c) − y)² ) ]     (Q-clip, 2209.10081)

    Q̄_i is the i-th target critic at (s,a), `target_features`, a constant. Where Q_i has left Q̄_i ± c on the
    side of y, the second term is the larger one and has no gradient.
    """
    q, old = features.squeeze(-1), target_features.squeeze(-1)
    near = old + (q - old).clamp(-clip, clip)
    larger = torch.maximum((q - target).square(), (near - target).square())
    return 0.5 * (weight * larger).mean(dim=1).sum()


def actor_loss(value: Float[Tensor, " B"]) -> Scalar:
    """J_π = E_s[ E_{a~π}[ α log π(a|s) − Q(s,a) ] ] = −E_s[ V(s) ]     (1812.05905 eq. 7)

    Deviation: α is a constant of this loss and the critics' weights are not stepped by it; the caller
    differentiates with respect to the actor alone.
    """
    return -value.mean()


def entropy_penalty(log_prob: Float[Tensor, " B"], entropy: Float[Tensor, " B"], scale: float) -> Scalar:
    """β · ½ E_s[ (H_old(s) − H(s))² ]     (2209.10081)

    It slows the policy's change: H_old(s) is the entropy at s of the policy that collected. Deviation: the
    paper stores H_old(s). Here −log π_old(a|s) of the stored action stands for it, a draw whose mean it is.
    The gradient −β (H_old − H) ∇H is linear in it, so that its expectation is the paper's. States whose
    `log_prob` is unknown (NaN) do not count: a run notes that of every eighth step.

    Args:
        log_prob: log π_old(a|s), [B].
        entropy: H(s), exact, [B].
        scale: β.
    """
    known = log_prob.isfinite()
    change = torch.where(known, -log_prob - entropy, 0.0)
    return 0.5 * scale * change.square().sum() / known.sum().clamp_min(1)


def alpha_loss(
    log_alpha: Alpha, entropy: Alpha, target_entropy: Scalar, form: LossForm = "log_alpha"
) -> Scalar:
    """J_α = E[ −α (log π(a|s) + H̄) ] = α (H − H̄)     (1812.05905 eq. 18)

    With H below H̄ the gradient in log α is negative, so a step of descent RAISES α; above, it lowers it.
    Deviation: `form="log_alpha"` (the default) replaces the leading α by log α, which keeps sign and fixed
    point and makes the step independent of α's present size; `form="alpha"` is the paper's. With one
    α for each dimension the loss is the sum of theirs, and `target_entropy` that of each.
    """
    gap = (entropy - target_entropy).detach()
    return ((log_alpha if form == "log_alpha" else log_alpha.exp()) * gap).sum()
