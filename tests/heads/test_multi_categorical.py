"""The heads of several choices at once: all joint choices, or an estimate of the same expectations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from sac_lightning.algorithm import losses
from sac_lightning.core.seeding import torch_generator
from sac_lightning.heads import MultiCategorical, SampledMultiCategorical
from sac_lightning.heads.base import ActionHead
from sac_lightning.spaces import MultiDiscreteAction

SIZES = (2, 3, 2)
JOINT = 12
EXACT, SAMPLED = MultiCategorical(SIZES), SampledMultiCategorical(SIZES)
NO_NOISE = torch.zeros(1, 0)
FEATURES = torch.tensor([[0.3, -0.4, 1.0, 0.2, -0.7, 0.5, 0.1]])


def choices() -> np.ndarray:
    """[K, D]: the joint choices in their order."""
    return np.stack(np.unravel_index(np.arange(JOINT), SIZES), -1)


def values() -> Tensor:
    """[K]: a function of the joint choice that is no sum over choices."""
    return torch.randn(JOINT, generator=torch_generator(3))


def test_actions_are_the_products_of_the_choices_probabilities() -> None:
    # π₁ = (¼, ¾), π₂ = (½, ½): π = (⅛, ⅛, ⅜, ⅜), the last choice running fastest.
    features = torch.tensor([[0.25, 0.75, 0.5, 0.5]]).log()
    actions = MultiCategorical((2, 2)).weighted_actions(features, NO_NOISE)
    assert actions.action[:, 0].tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(actions.weight[:, 0], torch.tensor([0.125, 0.125, 0.375, 0.375]))
    # H = Σ_d H_d = ¼ log 4 + ¾ log(4/3) + log 2 = 0.5623351 + 0.6931472
    assert actions.entropy.item() == pytest.approx(0.5623351 + 0.6931472)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-30, 30, width=32), min_size=7, max_size=7))
def test_weights_sum_to_one_and_the_entropy_is_the_sum_of_the_choices(logits: list[float]) -> None:
    features = torch.tensor([logits])
    actions = EXACT.weighted_actions(features, NO_NOISE)
    torch.testing.assert_close(actions.weight.sum(0), torch.ones(1))
    each = [torch.log_softmax(part, -1) for part in features.split(SIZES, -1)]
    torch.testing.assert_close(
        actions.entropy, torch.stack([-(p.exp() * p).sum(-1) for p in each]).sum(0), atol=1e-4, rtol=1e-4
    )
    assert -1e-4 <= actions.entropy.item() <= EXACT.entropy_interval.high + 1e-4


def test_the_largest_entropy_is_the_sum_of_the_logarithms() -> None:
    for head in (EXACT, SAMPLED):
        assert head.entropy_interval.high == pytest.approx(math.log(JOINT))
        assert head.num_discrete == JOINT
        assert head.num_continuous == 0


def estimate(noise: Tensor, features: Tensor, alpha: Tensor) -> Tensor:
    """The soft value of the sampled head where Q(s, a) is `values`, for each row of `noise`."""
    actions = SAMPLED.weighted_actions(features.expand(len(noise), -1), noise)
    digits = [part.argmax(-1) for part in actions.action.split(SIZES, -1)]  # [K, B] each
    index = (digits[0] * SIZES[1] + digits[1]) * SIZES[2] + digits[2]
    return losses.soft_value(values()[index], actions, alpha)


def test_the_estimate_has_the_value_and_the_gradient_of_the_enumeration() -> None:
    alpha = torch.tensor(0.3)
    features = FEATURES.clone().requires_grad_()
    exact = losses.soft_value(values()[:, None], EXACT.weighted_actions(features, NO_NOISE), alpha)
    (gradient,) = torch.autograd.grad(exact.sum(), features)

    noise = SAMPLED.draw_noise((40_000,), torch_generator(1))
    rows = features.detach().expand(len(noise), -1).clone().requires_grad_()
    value = estimate(noise, rows, alpha)
    (each,) = torch.autograd.grad(value.sum(), rows)
    for found, true in ((value[:, None], exact[:, None]), (each, gradient)):
        error = found.std(0) / math.sqrt(len(noise))
        assert ((found.mean(0) - true[0]).abs() < 5 * error + 1e-5).all()


def test_the_estimate_of_one_choice_is_exact() -> None:
    alone, all_actions = SampledMultiCategorical((4,)), MultiCategorical((4,))
    features = torch.tensor([[0.1, -2.0, 0.7, 0.0]])
    actions = alone.weighted_actions(features, alone.draw_noise((1,), torch_generator(0)))
    torch.testing.assert_close(actions.weight, all_actions.weighted_actions(features, NO_NOISE).weight)
    assert torch.equal(actions.action[:, 0], torch.eye(4))


def test_weights_of_the_estimate_are_those_of_d_expectations() -> None:
    actions = SAMPLED.weighted_actions(FEATURES, SAMPLED.draw_noise((1,), torch_generator(0)))
    torch.testing.assert_close(actions.weight.sum(0), torch.ones(1))
    # Each action's log π is that of its own joint choice.
    for action, log_prob in zip(actions.action[:, 0], actions.log_prob[:, 0], strict=True):
        torch.testing.assert_close(SAMPLED.log_prob(FEATURES, action[None])[0], log_prob)


def test_entropy_of_the_estimate_is_right_on_average() -> None:
    exact = EXACT.weighted_actions(FEATURES, NO_NOISE).entropy.item()
    noise = SAMPLED.draw_noise((20_000,), torch_generator(2))
    assert SAMPLED.weighted_actions(
        FEATURES.expand(20_000, -1), noise
    ).entropy.mean().item() == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("head", [EXACT, SAMPLED])
def test_samples_have_the_policy_s_frequencies(head: ActionHead) -> None:
    count = 20_000
    drawn = head.sample(FEATURES.expand(count, -1), torch_generator(4))
    if isinstance(head, SampledMultiCategorical):
        digits = [part.argmax(-1).numpy() for part in drawn.split(SIZES, -1)]
        drawn = torch.from_numpy(np.ravel_multi_index(digits, SIZES))
    prob = EXACT.weighted_actions(FEATURES, NO_NOISE).weight[:, 0].double()
    observed = torch.bincount(drawn, minlength=JOINT).numpy()
    assert stats.chisquare(observed, (prob / prob.sum() * count).numpy()).pvalue > 0.01


@pytest.mark.parametrize("head", [EXACT, SAMPLED])
def test_log_prob_is_that_of_the_sample(head: ActionHead) -> None:
    rows = FEATURES.expand(64, -1)
    drawn = head.sample(rows, torch_generator(5))
    env_action = MultiDiscreteAction(SIZES, (0, 0, 0), (3,))
    index = (
        drawn
        if head is EXACT
        else torch.from_numpy(
            np.ravel_multi_index([part.argmax(-1).numpy() for part in drawn.split(SIZES, -1)], SIZES)
        )
    )
    torch.testing.assert_close(head.log_prob(rows, drawn), EXACT.joint_log_prob(FEATURES)[0, index])
    assert env_action.enumerable


@pytest.mark.parametrize("head", [EXACT, SAMPLED])
def test_mode_is_the_most_likely_joint_choice(head: ActionHead) -> None:
    mode = head.mode(FEATURES)
    best = EXACT.joint_log_prob(FEATURES).argmax(-1)
    torch.testing.assert_close(head.log_prob(FEATURES, mode), EXACT.log_prob(FEATURES, best))
