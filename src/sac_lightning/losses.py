"""Soft Actor-Critic, the algorithm: pure functions of tensors, in the order in which an update uses them.

Sources: SAC 1801.01290, SAC-v2 1812.05905, discrete SAC 1910.07207. Shape letters: see types.py.
Nothing here knows a network, an optimizer or an action space: an action head answers with weighted
atoms, and every expectation over actions below is the same sum over those atoms.
"""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from sac_lightning.types import Alpha, PolicyAtoms, Scalar

LossForm = Literal["log_alpha", "alpha"]


def soft_value(q: Float[Tensor, "N K B"], atoms: PolicyAtoms, alpha: Alpha) -> Float[Tensor, " B"]:
    """V(s) = E_{a~π}[ min_i Q_i(s,a) − α log π(a|s) ]     (1812.05905 eq. 3; discrete: 1910.07207 eq. 10)

    Deviation: the minimum over the ensemble (clipped double Q, 1802.09477) is taken per action, before
    the expectation; the papers write it for two critics, here N may be larger.
    """
    return (atoms.prob * (q.amin(dim=0) - weighted_log_prob(atoms, alpha))).sum(dim=0)


def weighted_log_prob(atoms: PolicyAtoms, alpha: Alpha) -> Float[Tensor, "K B"]:
    """α log π(a|s); with one α for each independent action dimension Σ_d α_d log π_d(a_d|s)."""
    if alpha.ndim == 0:
        return alpha * atoms.log_prob
    assert atoms.log_prob_dims is not None
    return (alpha * atoms.log_prob_dims).sum(dim=-1)


def entropy(atoms: PolicyAtoms, alpha: Alpha) -> Alpha:
    """H = −E_s[ Σ_k prob · log_prob ], or the H_d = −E_s[ Σ_k prob · log_prob_d ] that add up to it.

    Of the shape of `alpha`: the entropies that each α answers for.
    """
    if alpha.ndim == 0:
        # Not `atoms.entropy`: PyTorch's compiler reads no property of a named tuple before 2.13.
        return -(atoms.prob * atoms.log_prob).sum(dim=0).mean()
    assert atoms.log_prob_dims is not None
    return -(atoms.prob[..., None] * atoms.log_prob_dims).sum(dim=0).mean(dim=0)


def critic_target(
    reward: Float[Tensor, " B"],
    terminated: Bool[Tensor, " B"],
    next_value: Float[Tensor, " B"],
    gamma: float,
) -> Float[Tensor, " B"]:
    """y = r + γ (1 − terminated) V̄(s')     (1812.05905 eq. 2 and 5)

    Deviation: none; but note what is absent. A truncated episode was cut by a clock, not by the task, so
    truncation does not appear here and keeps its bootstrap.
    """
    return reward + gamma * (~terminated) * next_value


def critic_loss(q: Float[Tensor, "N B"], target: Float[Tensor, " B"]) -> Scalar:
    """J_Q = Σ_i E[ ½ (Q_i(s,a) − y)² ]     (1812.05905 eq. 5)

    Deviation: summed over the ensemble, so that each critic's gradient is what it would be alone.
    """
    return 0.5 * (q - target).square().mean(dim=1).sum()


def actor_loss(value: Float[Tensor, " B"]) -> Scalar:
    """J_π = E_s[ E_{a~π}[ α log π(a|s) − min_i Q_i(s,a) ] ] = −E_s[ V(s) ]     (1812.05905 eq. 7)

    Deviation: α is a constant of this loss and the critics' weights are not stepped by it; the caller
    differentiates with respect to the actor alone.
    """
    return -value.mean()


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
