"""The categorical head: exact expectations over all actions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sac_lightning import ConfigError
from sac_lightning.core.seeding import torch_generator
from sac_lightning.heads import Categorical

NO_NOISE = torch.zeros(1, 0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-40, 40, width=32), min_size=2, max_size=8))
def test_actions_are_all_actions_and_their_weights_sum_to_one(logits: list[float]) -> None:
    n = len(logits)
    actions = Categorical(n).weighted_actions(torch.tensor([logits]), NO_NOISE)
    assert actions.action[:, 0].tolist() == list(range(n))
    torch.testing.assert_close(actions.weight.sum(0), torch.ones(1))
    torch.testing.assert_close(actions.weight, actions.log_prob.exp())
    assert -1e-5 <= actions.entropy.item() <= math.log(n) + 1e-5


def test_entropy_is_exact() -> None:
    # π = (½, ¼, ¼): H = ½·log 2 + 2·¼·log 4 = 1.5·log 2 = 1.0397208
    actions = Categorical(3).weighted_actions(torch.tensor([[0.5, 0.25, 0.25]]).log(), NO_NOISE)
    torch.testing.assert_close(actions.entropy, torch.tensor([1.5 * math.log(2)]))


def test_the_uniform_policy_attains_the_largest_entropy() -> None:
    head = Categorical(5)
    actions = head.weighted_actions(torch.full((1, 5), 7.0), NO_NOISE)
    assert actions.entropy.item() == pytest.approx(math.log(5))
    assert head.entropy_interval.high == pytest.approx(math.log(5))
    assert head.entropy_interval.low == 0.0


def test_a_certain_policy_has_finite_log_probs_and_gradients() -> None:
    features = torch.tensor([[500.0, -500.0]], requires_grad=True)
    actions = Categorical(2).weighted_actions(features, NO_NOISE)
    # log π = (0, −1000): finite, and 0·(−1000) adds nothing to the entropy
    assert actions.log_prob[:, 0].tolist() == [0.0, -1000.0]
    assert actions.entropy.item() == 0.0
    actions.entropy.sum().backward()
    assert torch.isfinite(features.grad).all()


def test_gradient_of_an_expectation_is_the_softmax_rule() -> None:
    logits = torch.tensor([[0.3, -1.2, 0.9]], requires_grad=True)
    values = torch.tensor([2.0, -1.0, 0.5])
    actions = Categorical(3).weighted_actions(logits, NO_NOISE)
    (actions.weight[:, 0] * values).sum().backward()
    weights = torch.exp(logits.detach()[0]) / torch.exp(logits.detach()[0]).sum()
    # ∂/∂z_k Σ π_j f_j = π_k (f_k − Σ π_j f_j)
    torch.testing.assert_close(logits.grad[0], weights * (values - (weights * values).sum()))


def test_gradient_of_the_entropy_is_exact() -> None:
    logits = torch.tensor([[0.3, -1.2, 0.9]], requires_grad=True)
    Categorical(3).weighted_actions(logits, NO_NOISE).entropy.sum().backward()
    prob = torch.softmax(logits.detach()[0], 0)
    entropy = -(prob * prob.log()).sum()
    # ∂H/∂z_k = −π_k (log π_k + H)
    torch.testing.assert_close(logits.grad[0], -prob * (prob.log() + entropy))


def test_samples_have_the_policy_s_frequencies() -> None:
    prob = torch.tensor([0.05, 0.15, 0.3, 0.5])
    drawn = Categorical(4).sample(prob.log().expand(20_000, -1), torch_generator(3))
    observed = torch.bincount(drawn, minlength=4).numpy()
    assert stats.chisquare(observed, (prob.double() / prob.double().sum() * 20_000).numpy()).pvalue > 0.01


def test_sampling_follows_its_generator_and_leaves_the_global_one_alone() -> None:
    features = torch.zeros(50, 4)
    before = torch.get_rng_state()
    first, again = (Categorical(4).sample(features, torch_generator(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, Categorical(4).sample(features, torch_generator(6)))


def test_mode_is_the_most_likely_action() -> None:
    assert Categorical(3).mode(torch.tensor([[0.1, 2.0, 1.0], [5.0, 2.0, 1.0]])).tolist() == [1, 0]


def test_no_noise_is_drawn() -> None:
    head = Categorical(3)
    assert head.noise_size == 0
    assert head.draw_noise((4, 2, 8), torch_generator(0)).shape == (4, 2, 8, 0)


def test_one_action_is_no_choice() -> None:
    with pytest.raises(ConfigError, match="at least two actions"):
        Categorical(1)
