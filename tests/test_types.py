"""Metrics of an update, packed into one tensor."""

import pytest
import torch

from sac_lightning.types import PackedMetrics


def test_it_reads_like_a_dict_of_means() -> None:
    metrics = PackedMetrics.of({"loss": torch.tensor(2.0), "alpha": torch.tensor([1.0, 4.0])})
    assert metrics.numbers.tolist() == [2.0, 2.5]
    assert {name: float(number) for name, number in metrics.items()} == {"loss": 2.0, "alpha": 2.5}
    assert "alpha" in metrics and "beta" not in metrics
    with pytest.raises(KeyError, match="beta"):
        metrics["beta"]
