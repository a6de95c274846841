"""The plain Gaussian head, against scipy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sac_lightning.core.seeding import torch_generator
from sac_lightning.heads import Normal


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.lists(st.floats(-4, 4), min_size=2, max_size=2))
def test_log_prob_is_the_gaussian_s(raw: list[float], noise: list[float]) -> None:
    head, features = Normal(2), torch.tensor([raw])
    actions = head.weighted_actions(features, torch.tensor([noise]))
    mean, log_std = (part[0].double().numpy() for part in head.mean_and_log_std(features))
    action = mean + np.exp(log_std) * np.array(noise)
    np.testing.assert_allclose(actions.action[0, 0].numpy(), action, rtol=1e-4, atol=1e-5)
    expected = stats.norm.logpdf(action, mean, np.exp(log_std)).sum()
    assert actions.log_prob.item() == pytest.approx(expected, abs=1e-3)
    assert actions.weight.tolist() == [[1.0]]


def test_entropy_is_the_closed_form() -> None:
    head, features = Normal(2), torch.tensor([[0.5, -1.0, 0.2, -0.4]])
    log_std = head.mean_and_log_std(features)[1]
    exact = float((0.5 * math.log(2 * math.pi * math.e) + log_std).sum())  # Σ ½log(2πeσ²)
    assert head.gaussian_entropy(features).item() == pytest.approx(exact)
    noise = torch.randn(40_000, 2, generator=torch_generator(0))
    estimate = head.weighted_actions(features.expand(40_000, -1), noise).entropy
    # One sample's −log π has variance A/2 = 1: standard error 1/√40000 = 0.005
    assert estimate.mean().item() == pytest.approx(exact, abs=0.02)
    assert estimate.var().item() == pytest.approx(1.0, rel=0.05)


def test_entropy_interval_ends_at_the_limits_of_std() -> None:
    head = Normal(3, log_std_min=-2.0, log_std_max=1.0)
    # A·(½log 2πe + log σ) = 3·(1.4189385 − 2) and 3·(1.4189385 + 1)
    assert head.entropy_interval.low == pytest.approx(-1.7431844)
    assert head.entropy_interval.high == pytest.approx(7.2568156)
    extreme = torch.tensor([[0.0, 0.0, 0.0, -20.0, -20.0, -20.0], [0.0, 0.0, 0.0, 20.0, 20.0, 20.0]])
    torch.testing.assert_close(head.gaussian_entropy(extreme), torch.tensor([-1.7431844, 7.2568156]))


def test_reparameterisation_reaches_mean_and_std() -> None:
    features = torch.tensor([[0.5, 0.3]], requires_grad=True)
    head = Normal(1)
    head.weighted_actions(features, torch.tensor([[1.7]])).action.sum().backward()
    log_std = head.mean_and_log_std(features)[1].item()
    # a = μ + σε: ∂a/∂μ = 1; ∂a/∂raw = ε σ ∂log σ/∂raw = 1.7·σ·3.5·(1 − tanh² 0.3)
    expected = 1.7 * math.exp(log_std) * 3.5 * (1 - math.tanh(0.3) ** 2)
    torch.testing.assert_close(features.grad, torch.tensor([[1.0, expected]]))


def test_the_density_s_own_gradient_is_minus_one_per_log_std() -> None:
    # log N(μ + σε; μ, σ) = −½ε² − log σ − ½log 2π: nothing left of μ
    features = torch.tensor([[0.5, 0.3]], requires_grad=True)
    Normal(1).weighted_actions(features, torch.tensor([[1.7]])).log_prob.sum().backward()
    slope = 3.5 * (1 - math.tanh(0.3) ** 2)
    torch.testing.assert_close(features.grad, torch.tensor([[0.0, -slope]]))


def test_samples_are_gaussian_and_the_mode_is_the_mean() -> None:
    head, features = Normal(1), torch.tensor([[-0.7, 0.1]])
    mean, log_std = (part.item() for part in head.mean_and_log_std(features))
    drawn = head.sample(features.expand(5000, -1), torch_generator(1))[:, 0].numpy()
    assert stats.kstest(drawn, stats.norm(mean, math.exp(log_std)).cdf).pvalue > 0.01
    assert head.mode(features).item() == pytest.approx(-0.7)
