"""The losses, by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sac_lightning.algorithm import losses
from sac_lightning.algorithm.losses import LossForm
from sac_lightning.networks import Min
from sac_lightning.types import WeightedActions

FORMS: list[LossForm] = ["log_alpha", "alpha"]
both_forms = pytest.mark.parametrize("form", FORMS)


def scalar(value: float) -> Tensor:
    return torch.tensor(value)


def one_sample(log_prob: list[float]) -> WeightedActions:
    """K = 1: what a Gaussian head gives."""
    log_probs = torch.tensor([log_prob])
    return WeightedActions(torch.zeros(1, len(log_prob), 1), log_probs, torch.ones_like(log_probs))


def test_the_clipped_critic_loss_by_hand() -> None:
    target, weight = torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([1.0, 1.0, 1.0, 2.0])
    old = torch.zeros(1, 4, 1)
    # Near Q̄; half way to y beyond the clip; away from y beyond the clip; past y beyond the clip.
    q = torch.tensor([0.2, 0.8, -2.0, 1.9]).view(1, 4, 1).requires_grad_()
    loss = losses.clipped_critic_loss(q, old, target, weight, 0.5)
    # Squares: 0.8²; the larger of 0.2² and (0.5 − 1)²; of 3² and 1.5²; of 0.9² and 0.5², twice.
    expected = 0.5 * (0.64 + 0.25 + 9.0 + 2 * 0.81) / 4
    assert float(loss.detach()) == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(loss, [q])
    assert gradient.flatten().tolist() == pytest.approx([-0.8 / 4, 0.0, -3.0 / 4, 2 * 0.9 / 4])


def test_the_entropy_penalty_by_hand_and_its_expectation() -> None:
    # Changes −log π_old − H: 2 − 0.5, unknown, 0.1 − 0.4. β/2 · (1.5² + 0.3²) / 2; gradient −β · change / 2.
    log_prob = torch.tensor([-2.0, math.nan, -0.1])
    entropy = torch.tensor([0.5, 9.0, 0.4], requires_grad=True)
    penalty = losses.entropy_penalty(log_prob, entropy, 0.8)
    assert float(penalty.detach()) == pytest.approx(0.4 * (2.25 + 0.09) / 2)
    (gradient,) = torch.autograd.grad(penalty, [entropy])
    assert gradient.tolist() == pytest.approx([-0.8 * 1.5 / 2, 0.0, 0.8 * 0.3 / 2])
    assert losses.entropy_penalty(log_prob[1:2], entropy[1:2], 0.8) == 0.0  # nothing known
    # Over the actions of π_old, the mean gradient is the one that H_old itself gives.
    old = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    now = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    drawn = sum(p * losses.entropy_penalty(p.log()[None], now[None], 0.8) for p in old)
    exact = losses.entropy_penalty((old * old.log()).sum()[None], now[None], 0.8)
    assert isinstance(drawn, Tensor)
    (a,), (b,) = torch.autograd.grad(drawn, [now]), torch.autograd.grad(exact, [now])
    torch.testing.assert_close(a, b)


def enumerated(prob: list[float]) -> WeightedActions:
    """K = n, B = 1: what a categorical head gives."""
    weight = torch.tensor(prob)[:, None]
    return WeightedActions(torch.arange(len(prob))[:, None], weight.log(), weight)


def soft_value(q: Tensor, actions: WeightedActions, alpha: Tensor) -> Tensor:
    """V of the default: the smaller critic's value of each action. `q` is [N, K, B]."""
    return losses.soft_value(Min().value(q), actions, alpha)


def test_soft_value_of_one_sample() -> None:
    q = torch.tensor([[[3.0, 5.0]], [[4.0, 1.0]]])  # [N=2, K=1, B=2]
    # V = min_i Q_i − α log π: 3 − 0.5·(−2) = 4 and 1 − 0.5·0.4 = 0.8
    value = soft_value(q, one_sample([-2.0, 0.4]), scalar(0.5))
    torch.testing.assert_close(value, torch.tensor([4.0, 0.8]))


def test_soft_value_of_all_actions_is_the_expectation() -> None:
    q = torch.tensor([[[1.0], [6.0]], [[2.0], [4.0]]])  # [N=2, K=2, B=1]
    # ¼·(1 − 0.5·log ¼) + ¾·(4 − 0.5·log ¾) = 3.25 + 0.5·H(¼, ¾) = 3.25 + 0.5·0.5623351 = 3.5311676
    value = soft_value(q, enumerated([0.25, 0.75]), scalar(0.5))
    torch.testing.assert_close(value, torch.tensor([3.5311676]))


def test_the_minimum_is_taken_per_action_before_the_expectation() -> None:
    q = torch.tensor([[[0.0], [2.0]], [[2.0], [0.0]]])
    # Per action: ½·0 + ½·0 = 0. The minimum of the two expectations would be 1.
    assert soft_value(q, enumerated([0.5, 0.5]), scalar(0.0)).item() == 0.0


def test_soft_value_without_temperature_is_the_hard_expectation() -> None:
    q = torch.tensor([[[1.0], [2.0], [4.0]], [[9.0], [9.0], [9.0]]])
    # 0.2·1 + 0.3·2 + 0.5·4 = 2.8
    value = soft_value(q, enumerated([0.2, 0.3, 0.5]), scalar(0.0))
    torch.testing.assert_close(value, torch.tensor([2.8]))


def test_entropy_of_atoms() -> None:
    # H(¼, ¾) = ¼·log 4 + ¾·log(4/3) = 0.5623351; of one sample it is −log π
    torch.testing.assert_close(enumerated([0.25, 0.75]).entropy, torch.tensor([0.5623351]))
    torch.testing.assert_close(one_sample([-1.5]).entropy, torch.tensor([1.5]))


finite = st.floats(-50, 50, width=32)


@settings(max_examples=60, deadline=None)
@given(
    q=st.lists(st.lists(finite, min_size=3, max_size=3), min_size=1, max_size=4),
    raised=st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(0, 20, width=32)),
    alpha=st.floats(0, 5, width=32),
)
def test_soft_value_never_falls_when_a_q_rises(
    q: list[list[float]], raised: tuple[int, int, float], alpha: float
) -> None:
    critic, action, by = raised
    before = torch.tensor(q)[..., None]
    after = before.clone()
    after[critic % len(q), action] += by
    actions = enumerated([0.2, 0.3, 0.5])
    value = soft_value(before, actions, scalar(alpha))
    assert soft_value(after, actions, scalar(alpha)) >= value - 1e-4
    # One more critic never raises the minimum.
    assert soft_value(torch.cat((before, after - by)), actions, scalar(alpha)) <= value + 1e-4


@settings(max_examples=60, deadline=None)
@given(q=st.lists(finite, min_size=2, max_size=5), alpha=st.floats(0.125, 5, width=32))
def test_the_softmax_policy_has_the_largest_soft_value(q: list[float], alpha: float) -> None:
    values = torch.tensor(q, dtype=torch.float64)
    best = alpha * torch.logsumexp(values / alpha, 0)  # max_π V = α log Σ exp(Q/α), at π = softmax(Q/α)
    log_prob = torch.log_softmax(values / alpha, 0)[:, None]
    n = len(q)
    temperature = torch.tensor(alpha, dtype=torch.float64)
    optimal = WeightedActions(torch.arange(n)[:, None], log_prob, log_prob.exp())
    even = torch.full((n, 1), 1 / n, dtype=torch.float64)
    uniform = WeightedActions(torch.arange(n)[:, None], even.log(), even)
    reached = soft_value(values[None, :, None], optimal, temperature)
    torch.testing.assert_close(reached[0], best)
    assert soft_value(values[None, :, None], uniform, temperature)[0] <= best + 1e-9


def test_target_bootstraps_and_termination_alone_cuts_it() -> None:
    # discount = γ (1 − terminated): y = 1 + 0.9·(1−0)·2 = 2.8;  y = 1 + 0.9·(1−1)·2 = 1
    discount = 0.9 * (1.0 - torch.tensor([0.0, 1.0]))
    target = losses.critic_target(torch.tensor([1.0, 1.0]), discount, torch.tensor([2.0, 2.0]))
    torch.testing.assert_close(target, torch.tensor([2.8, 1.0]))


def test_critic_loss_is_half_the_mean_square_summed_over_critics() -> None:
    q = torch.tensor([[1.0, 2.0], [5.0, 4.0]])
    # critic 0: ½·((1−3)² + (2−4)²)/2 = 2; critic 1: ½·((5−3)² + 0)/2 = 1; Σ = 3
    assert losses.critic_loss(q[..., None], torch.tensor([3.0, 4.0]), torch.ones(2)).item() == 3.0


def test_critic_loss_weighs_each_transition() -> None:
    q = torch.tensor([[1.0, 2.0], [5.0, 4.0]])
    # ½·(2·(1−3)² + ½·(2−4)²)/2 = 2.5; ½·(2·(5−3)² + 0)/2 = 2; Σ = 4.5
    weight = torch.tensor([2.0, 0.5])
    assert losses.critic_loss(q[..., None], torch.tensor([3.0, 4.0]), weight).item() == 4.5


def test_each_critic_has_the_gradient_it_would_have_alone() -> None:
    q = torch.tensor([[1.0, 2.0], [5.0, 4.0]], requires_grad=True)
    losses.critic_loss(q[..., None], torch.tensor([3.0, 4.0]), torch.ones(2)).backward()
    # ∂/∂Q = (Q − y)/B with B = 2, whatever N is
    torch.testing.assert_close(q.grad, torch.tensor([[-1.0, -1.0], [1.0, 0.0]]))


def test_actor_loss_is_minus_the_mean_value() -> None:
    assert losses.actor_loss(torch.tensor([1.0, 2.0, 6.0])).item() == -3.0


def test_actor_loss_gives_gradient_to_probabilities_and_smallest_q() -> None:
    q = torch.tensor([[[1.0], [6.0]], [[2.0], [4.0]]], requires_grad=True)
    logits = torch.tensor([[0.0], [math.log(3.0)]], requires_grad=True)  # π = (¼, ¾)
    log_prob = torch.log_softmax(logits, 0)
    actions = WeightedActions(torch.arange(2)[:, None], log_prob, log_prob.exp())
    losses.actor_loss(soft_value(q, actions, scalar(0.0))).backward()
    # −π where the critic is the smaller one, else 0
    torch.testing.assert_close(q.grad[..., 0], torch.tensor([[-0.25, 0.0], [0.0, -0.75]]))
    # ∂V/∂logit_k = π_k (Q_k − V) with V = ¼·1 + ¾·4 = 3.25: ¼·(−2.25) = −0.5625, ¾·0.75 = +0.5625
    torch.testing.assert_close(logits.grad[:, 0], torch.tensor([0.5625, -0.5625]))


def test_alpha_loss_by_hand() -> None:
    log_alpha = scalar(math.log(2.0))
    # H − H̄ = 0.5 − 2 = −1.5; log form: log 2·(−1.5) = −1.0397; paper's form: 2·(−1.5) = −3
    assert losses.alpha_loss(log_alpha, scalar(0.5), scalar(2.0)).item() == pytest.approx(-1.0397208)
    assert losses.alpha_loss(log_alpha, scalar(0.5), scalar(2.0), "alpha").item() == pytest.approx(-3.0)


def test_alpha_gradients_by_hand() -> None:
    log_alpha = torch.tensor(math.log(2.0), requires_grad=True)
    (steady,) = torch.autograd.grad(losses.alpha_loss(log_alpha, scalar(0.5), scalar(2.0)), log_alpha)
    (paper,) = torch.autograd.grad(losses.alpha_loss(log_alpha, scalar(0.5), scalar(2.0), "alpha"), log_alpha)
    # ∂/∂log α: H − H̄ = −1.5, and α·(H − H̄) = −3
    assert (steady.item(), paper.item()) == (pytest.approx(-1.5), pytest.approx(-3.0))


@both_forms
def test_alpha_loss_gives_no_gradient_to_the_policy(form: LossForm) -> None:
    log_alpha = torch.tensor(0.3, requires_grad=True)
    entropy = torch.tensor(0.5, requires_grad=True)
    losses.alpha_loss(log_alpha, entropy, scalar(2.0), form).backward()
    assert entropy.grad is None and log_alpha.grad is not None


@both_forms
@settings(max_examples=40, deadline=None)
@given(
    log_alpha=st.floats(-5, 3, width=32),
    target=st.floats(-10, 3, width=32),
    gap=st.floats(0.01, 5).flatmap(lambda size: st.sampled_from([size, -size])),
)
def test_a_step_of_descent_raises_alpha_below_target_and_lowers_it_above(
    form: LossForm, log_alpha: float, target: float, gap: float
) -> None:
    learned = torch.tensor(log_alpha, requires_grad=True)
    loss = losses.alpha_loss(learned, scalar(target + gap), scalar(target), form)
    (gradient,) = torch.autograd.grad(loss, learned)
    stepped = learned.detach() - 0.1 * gradient
    assert stepped > learned if gap < 0 else stepped < learned


@both_forms
def test_alpha_rests_where_entropy_is_on_target(form: LossForm) -> None:
    log_alpha = torch.tensor(0.3, requires_grad=True)
    losses.alpha_loss(log_alpha, scalar(-1.0), scalar(-1.0), form).backward()
    assert log_alpha.grad == 0.0
