"""Priorities and weights by their formulas, and draws by their probabilities."""

import numpy as np
import pytest
import torch
from scipy import stats

from sac_lightning.networks import ScalarHuber
from sac_lightning.replay import LapReplay, PrioritizedReplay
from sac_lightning.replay.prioritized import SumTree
from sac_lightning.spaces import DiscreteAction, ObsSpec

TD_ERROR = torch.tensor([0.5, 1.0, 3.0, 10.0, 0.0])


def reported(replay: PrioritizedReplay) -> PrioritizedReplay:
    """A buffer of five transitions that have these TD errors."""
    replay.allocate(8, ObsSpec((1,), "float32"), DiscreteAction(2))
    replay.add(np.zeros((5, 1)), np.zeros(5), np.zeros(5), np.zeros((5, 1)), np.zeros(5, bool))
    replay.report(torch.arange(5), TD_ERROR)
    return replay


def test_prioritized_draws_and_weights() -> None:
    replay = reported(PrioritizedReplay(alpha=0.6, beta=0.4, beta_steps=10, eps=0.1))
    priority = (TD_ERROR.double().numpy() + 0.1) ** 0.6
    probability = priority / priority.sum()
    drawn = replay.draw(1, 20_000)
    counts = np.bincount(drawn.index[0].numpy(), minlength=5)
    assert stats.chisquare(counts, 20_000 * probability).pvalue > 1e-3
    # β has gone half its way to 1: 0.4 + 0.6 · 5/10.
    weight = (5 * probability) ** -0.7
    torch.testing.assert_close(drawn.weight, torch.tensor(weight / weight.max()).float()[drawn.index])


def test_lap_draws_and_does_not_weigh() -> None:
    replay = reported(LapReplay(alpha=0.4))
    priority = np.array([1.0, 1.0, 3.0, 10.0, 1.0]) ** 0.4
    drawn = replay.draw(1, 20_000)
    counts = np.bincount(drawn.index[0].numpy(), minlength=5)
    assert stats.chisquare(counts, 20_000 * priority / priority.sum()).pvalue > 1e-3
    assert (drawn.weight == 1.0).all()
    # A new transition has the largest priority so far, 10 ** 0.4 = 2.512.
    replay.add(np.zeros((1, 1)), np.zeros(1), np.zeros(1), np.zeros((1, 1)), np.zeros(1, bool))
    assert replay._tree.get(np.array([5])) == pytest.approx(2.5119, abs=1e-4)


def test_the_sum_tree_finds_what_a_cumulative_sum_finds() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.random(11) * (rng.random(11) < 0.7)
    tree = SumTree(11)
    tree.set(np.arange(11), numbers)
    points = rng.random(1000) * tree.total
    assert (tree.find(points) == np.searchsorted(np.cumsum(numbers), points, side="right")).all()


def test_the_huber_loss_of_two_critics() -> None:
    # Errors 0.5 and 3 of the first critic: 0.125 and 2.5; of the second 1 and −1: 0.5 each. Weights 1 and 2.
    features = torch.tensor([[[0.5], [3.0]], [[1.0], [-1.0]]])
    loss = ScalarHuber().loss(features, torch.zeros(2), torch.tensor([1.0, 2.0]))
    assert float(loss) == pytest.approx((0.125 + 2 * 2.5) / 2 + (0.5 + 2 * 0.5) / 2)
