"""The head of a choice together with numbers."""

import math

import pytest
import torch

from sac_lightning import ConfigError
from sac_lightning.core.seeding import torch_generator
from sac_lightning.heads import Categorical, Hybrid, TanhNormal

HEAD = Hybrid(3, 2)
FEATURES = torch.randn(5, HEAD.feature_size, generator=torch_generator(0))


def test_there_is_one_atom_for_each_choice_with_numbers_of_its_own() -> None:
    noise = HEAD.draw_noise((5,), torch_generator(1))
    actions = HEAD.weighted_actions(FEATURES, noise)
    assert actions.action.shape == (3, 5, 3 + 2)
    for k in range(3):
        assert actions.action[k, :, :3].tolist() == [[float(j == k) for j in range(3)]] * 5
        # Choice k's numbers are those of a squashed Gaussian with its own μ and σ.
        own = torch.cat((FEATURES[:, 3 + 2 * k : 5 + 2 * k], FEATURES[:, 9 + 2 * k : 11 + 2 * k]), -1)
        alone = TanhNormal(2).weighted_actions(own, noise[:, 2 * k : 2 * k + 2])
        torch.testing.assert_close(actions.action[k, :, 3:], alone.action[0])
        choice = torch.log_softmax(FEATURES[:, :3], -1)[:, k]
        torch.testing.assert_close(actions.log_prob[k], choice + alone.log_prob[0])
    torch.testing.assert_close(
        actions.weight, Categorical(3).weighted_actions(FEATURES[:, :3], noise[:, :0]).weight
    )


def test_entropy_is_that_of_the_choice_and_the_mean_one_of_its_numbers() -> None:
    features = FEATURES[:1].expand(20_000, -1)
    found = (
        HEAD.weighted_actions(features, HEAD.draw_noise((20_000,), torch_generator(2))).entropy.mean().item()
    )
    weights = torch.softmax(FEATURES[0, :3], -1)
    expected = -(weights * weights.log()).sum().item()
    for k in range(3):
        own = torch.cat((FEATURES[:1, 3 + 2 * k : 5 + 2 * k], FEATURES[:1, 9 + 2 * k : 11 + 2 * k]), -1)
        noise = torch.randn(20_000, 2, generator=torch_generator(10 + k))
        entropy = TanhNormal(2).weighted_actions(own.expand(20_000, -1), noise).entropy.mean().item()
        expected += weights[k].item() * entropy
    assert found == pytest.approx(expected, abs=0.03)


def test_gradients_reach_the_choice_and_the_numbers() -> None:
    features = FEATURES.clone().requires_grad_()
    actions = HEAD.weighted_actions(features, HEAD.draw_noise((5,), torch_generator(1)))
    (actions.weight * actions.action[..., 3]).sum().backward()
    assert (features.grad[:, :3] != 0).all()  # through the probabilities
    assert (features.grad[:, [3, 5, 7]] != 0).any(0).all()  # through the first number of every choice
    assert (features.grad[:, [4, 6, 8]] == 0).all()  # the second one was not read


def test_samples_have_the_density_that_log_prob_says() -> None:
    # E[1/π] over the sample is the volume of the space: 3 choices of [-1, 1]².
    head = Hybrid(3, 2, log_std_min=-1.0, log_std_max=0.0)
    features = torch.zeros(1, head.feature_size)
    rows = features.expand(200_000, -1)
    drawn = head.sample(rows, torch_generator(3))
    inside = (drawn[:, 3:].abs() < 0.8).all(-1)  # near ±1 the density is too small to average over
    weights = torch.where(inside, (-head.log_prob(rows, drawn)).exp(), 0.0)
    assert weights.mean().item() == pytest.approx(3 * 1.6**2, rel=0.02)
    assert drawn[:, :3].mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.01)


def test_mode_takes_the_likeliest_choice_and_the_median_of_its_numbers() -> None:
    features = torch.zeros(1, HEAD.feature_size)
    features[0, 1] = 5.0  # choice 1
    features[0, 5:7] = torch.tensor([0.3, -0.4])  # its μ
    mode = HEAD.mode(features)[0]
    assert mode.tolist() == pytest.approx([0, 1, 0, math.tanh(0.3), math.tanh(-0.4)])


def test_sizes_and_interval() -> None:
    assert (HEAD.num_actions, HEAD.num_discrete, HEAD.num_continuous, HEAD.action_size) == (None, 3, 2, 5)
    assert HEAD.entropy_interval.high == pytest.approx(math.log(3) + 2 * math.log(2))
    assert HEAD.entropy_interval.low == -math.inf


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least two actions"):
        Hybrid(1, 2)
    with pytest.raises(ConfigError, match="log_std_min"):
        Hybrid(2, 2, log_std_min=3.0)
