"""The squashed Gaussian: its density is a density, and its gradient is the gradient."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from sac_lightning import ConfigError
from sac_lightning.core.seeding import torch_generator
from sac_lightning.heads import TanhNormal
from sac_lightning.heads.gaussian import log_one_minus_tanh_squared

HEAD = TanhNormal(1)


def features(mean: float, std: float, head: TanhNormal = HEAD) -> Tensor:
    """The features at which `head` (of one dimension) has that μ and σ."""
    half = 0.5 * (head.log_std_max - head.log_std_min)
    raw = math.atanh((math.log(std) - head.log_std_min) / half - 1.0)
    return torch.tensor([[mean, raw]], dtype=torch.float32)


def log_density(action: np.ndarray, mean: float, std: float) -> np.ndarray:
    """log p(a) = log N(atanh a; μ, σ²) − log(1 − a²): change of variables, in float64."""
    return stats.norm.logpdf(np.arctanh(action), mean, std) - np.log1p(-(action**2))


def at_actions(action: np.ndarray, mean: float, std: float) -> np.ndarray:
    """The head's log-prob at given actions, by the noise that leads to each."""
    noise = torch.tensor((np.arctanh(action) - mean) / std, dtype=torch.float32)[:, None]
    actions = HEAD.weighted_actions(features(mean, std).expand(len(action), -1), noise)
    np.testing.assert_allclose(actions.action[0, :, 0].numpy(), action, atol=2e-6)
    return actions.log_prob[0].numpy()


@settings(max_examples=30, deadline=None)
@given(mean=st.floats(-2, 2), std=st.floats(0.05, 3))
def test_log_prob_is_the_change_of_variables(mean: float, std: float) -> None:
    action = np.tanh(mean + std * np.linspace(-2.5, 2.5, 41))
    action = action[np.abs(action) < 0.999]
    np.testing.assert_allclose(at_actions(action, mean, std), log_density(action, mean, std), atol=5e-3)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.3), (0.5, 1.0), (-1.0, 0.7), (0.2, 1.5)])
def test_density_integrates_to_one(mean: float, std: float) -> None:
    # ∫ p(a) da over (−1, 1) with a = tanh u, da = (1 − tanh² u) du: the trapezoid rule in u
    u = np.linspace(mean - 8 * std, mean + 8 * std, 4001)
    noise = torch.tensor((u - mean) / std, dtype=torch.float32)[:, None]
    actions = HEAD.weighted_actions(features(mean, std).expand(len(u), -1), noise)
    log_width = log_one_minus_tanh_squared(torch.tensor(u))
    integrand = np.exp(actions.log_prob[0].double().numpy() + log_width.numpy())
    assert np.trapezoid(integrand, u) == pytest.approx(1.0, abs=1e-4)


def test_density_integrates_to_one_over_the_action_itself() -> None:
    action = np.linspace(-0.9999, 0.9999, 20_001)
    density = np.exp(at_actions(action, 0.1, 0.4))
    assert np.trapezoid(density, action) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("mean", [-30.0, 30.0])
def test_log_prob_and_gradient_are_finite_where_tanh_has_rounded_to_one(mean: float) -> None:
    raw = features(mean, 1.0).requires_grad_()
    actions = HEAD.weighted_actions(raw, torch.zeros(1, 1))
    assert abs(actions.action.item()) == 1.0
    # −½log 2π − log(1 − tanh² 30) = −0.9189 + 2·(30 − log 2) = 57.695
    assert actions.log_prob.item() == pytest.approx(-0.9189385 + 2 * (30 - math.log(2)), abs=1e-3)
    actions.log_prob.sum().backward()
    # ∂(−log(1 − tanh² u))/∂u = 2·tanh u = ±2
    assert raw.grad[0, 0].item() == pytest.approx(math.copysign(2.0, mean), abs=1e-4)


def test_the_gaussian_entropy_is_not_the_squashed_one() -> None:
    # σ = 2: ½log(2πe·4) = 2.112 before squashing; no density on [−1, 1] has more than log 2 = 0.693.
    noise = torch.randn(20_000, 1, generator=torch_generator(0))
    estimate = HEAD.weighted_actions(features(0.0, 2.0).expand(20_000, -1), noise).entropy.mean().item()
    assert HEAD.gaussian_entropy(features(0.0, 2.0)).item() == pytest.approx(2.1120857, abs=1e-4)
    assert estimate < math.log(2)


@settings(max_examples=25, deadline=None)
@given(
    means=st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3),
    raws=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
)
def test_estimated_entropy_stays_below_the_unit_box_s(means: list[float], raws: list[float]) -> None:
    head = TanhNormal(3)
    assert head.entropy_interval.high == pytest.approx(3 * math.log(2))
    assert head.entropy_interval.low == -math.inf
    noise = torch.randn(20_000, 3, generator=torch_generator(1))
    estimate = (
        head.weighted_actions(torch.tensor([means + raws]).expand(20_000, -1), noise).entropy.mean().item()
    )
    # Three dimensions of standard error below 2/√20000 ≈ 0.014 each
    assert estimate <= 3 * math.log(2) + 0.1


def test_reparameterisation_reaches_mean_and_std() -> None:
    # A sum of functions of action and density, against central differences in the features
    noise = torch.randn(6, 2, generator=torch_generator(2))
    head = TanhNormal(2)
    raw = torch.randn(6, 4, generator=torch_generator(3), dtype=torch.float64)

    def objective(x: Tensor) -> Tensor:
        actions = head.weighted_actions(x, noise.double())
        return (actions.action.sin().sum(-1) + 0.3 * actions.log_prob).sum()

    analytic = torch.autograd.functional.jacobian(objective, raw)
    step = 1e-5
    for i, j in [(0, 0), (1, 1), (2, 2), (3, 3), (5, 0), (5, 3)]:
        moved = torch.zeros_like(raw)
        moved[i, j] = step
        numeric = (objective(raw + moved) - objective(raw - moved)) / (2 * step)
        assert numeric.item() != 0.0
        assert analytic[i, j].item() == pytest.approx(numeric.item(), rel=1e-4, abs=1e-6)


def test_reparameterised_and_score_function_gradients_agree_in_mean() -> None:
    # ∇E[f(a)] two ways, f(a) = (a − 0.4)²: E[∇f(a(ε))] and E[f(a)·∇log π(a)] with a held constant
    count, mean, std = 200_000, 0.2, 0.5
    noise = torch.randn(count, 1, generator=torch_generator(4))
    base = features(mean, std)
    raw = base.clone().requires_grad_()
    action = HEAD.weighted_actions(raw.expand(count, -1), noise).action[0, :, 0]
    (path,) = torch.autograd.grad((action - 0.4).square().mean(), raw)

    raw = base.clone().requires_grad_()
    mu, log_std = HEAD.mean_and_log_std(raw)
    pre = torch.atanh(action.detach().double()).float()
    score = -0.5 * ((pre - mu[0, 0]) / log_std[0, 0].exp()).square() - log_std[0, 0]
    cost = (action.detach() - 0.4).square()
    (reinforce,) = torch.autograd.grad(((cost - cost.mean()) * score).mean(), raw)
    torch.testing.assert_close(path, reinforce, atol=4e-3, rtol=0.02)


def test_samples_are_distributed_as_the_density_says() -> None:
    drawn = HEAD.sample(features(0.3, 0.8).expand(5000, -1), torch_generator(7))[:, 0].double().numpy()
    assert stats.kstest(np.arctanh(drawn), stats.norm(0.3, 0.8).cdf).pvalue > 0.01


def test_mode_is_the_squashed_mean() -> None:
    assert HEAD.mode(features(0.5, 1.0)).item() == pytest.approx(math.tanh(0.5))


@given(st.floats(-1e4, 1e4, width=32))
@settings(max_examples=30, deadline=None)
def test_std_stays_within_its_limits_and_never_loses_its_gradient_inside(raw: float) -> None:
    x = torch.tensor([[0.0, raw]], requires_grad=True)
    log_std = HEAD.mean_and_log_std(x)[1]
    assert -5.0 <= log_std.item() <= 2.0
    log_std.sum().backward()
    # ∂log σ/∂raw = 3.5·(1 − tanh² raw): positive until tanh has rounded to 1
    assert x.grad[0, 1] > 0.0 or abs(raw) > 8.0


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"log_std_min=3\.0"):
        TanhNormal(1, log_std_min=3.0)
    with pytest.raises(ConfigError, match="at least one action dimension"):
        TanhNormal(0)
