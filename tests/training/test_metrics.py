"""A row of the log: means over what was added, kept as totals that a checkpoint restores."""

import pytest
import torch

from sac_lightning.collect.collector import Episode
from sac_lightning.training.metrics import MetricWindow
from sac_lightning.types import PackedMetrics


def test_a_row_has_the_mean_of_all_numbers_of_each_metric() -> None:
    window = MetricWindow(every=10)
    for number in (1.0, 2.0, 6.0):
        window.add(
            PackedMetrics.of({"train/loss": torch.tensor(number), "train/alpha": torch.tensor([number, 0.0])})
        )
    window.add(PackedMetrics.of({"diagnostics/sigma": torch.tensor(0.25)}))
    window.add_episodes([Episode(-3.0, 10), Episode(-5.0, 20)])
    row = window.close(10)
    assert row["train/loss"] == 3.0 and row["train/alpha"] == 1.5 and row["diagnostics/sigma"] == 0.25
    assert row["rollout/return_mean"] == -4.0 and row["rollout/length_mean"] == 15.0
    assert row.keys().isdisjoint(window.close(20))


def test_a_metric_that_some_updates_lack_has_the_mean_over_those_that_have_it() -> None:
    window = MetricWindow(every=10)
    for number in range(70):  # more than are summed at once
        metrics = {"train/loss": torch.tensor(float(number))}
        if number % 2:
            metrics["train/actor_loss"] = torch.tensor(2.0 * number)
        window.add(PackedMetrics.of(metrics))
    other = MetricWindow(every=10)
    other.load_state_dict(window.state_dict())
    for each in (window, other):  # the mean of 0 … 69, and twice that of 1, 3 … 69
        assert each.close(10) == {"train/loss": 34.5, "train/actor_loss": 70.0}


def test_a_constant_stays_what_it_is_over_many_updates() -> None:
    window = MetricWindow(every=10)
    target = torch.tensor(-0.1)
    for _ in range(10_000):
        window.add(PackedMetrics.of({"train/target_entropy": target}))
    assert window.close(10)["train/target_entropy"] == float(target)


def test_an_open_row_goes_on_after_a_restore() -> None:
    window, other = MetricWindow(every=10), MetricWindow(every=10)
    values = torch.rand(100)  # some are totals already when the state is taken, and some are not
    for value in values[:70]:
        window.add(PackedMetrics.of({"train/loss": value}))
    state = window.state_dict()
    window.add(PackedMetrics.of({"train/loss": torch.tensor(100.0)}))  # the state is no view
    other.load_state_dict(state)
    for value in values[70:]:
        other.add(PackedMetrics.of({"train/loss": value}))
    uninterrupted = MetricWindow(every=10)
    for value in values:
        uninterrupted.add(PackedMetrics.of({"train/loss": value}))
    mean = other.close(10)["train/loss"]
    assert mean == uninterrupted.close(10)["train/loss"]  # to the bit
    assert mean == pytest.approx(float(values.double().mean()), abs=1e-12)
