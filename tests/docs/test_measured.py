"""Named numbers in one tensor."""

import pytest
import torch

from sac_lightning.types import PackedMetrics


def test_it_reads_like_a_dict_of_means() -> None:
    told = PackedMetrics.of({"loss": torch.tensor(2.0), "alpha": torch.tensor([1.0, 4.0])})
    assert told.numbers.tolist() == [2.0, 2.5]
    assert {name: float(number) for name, number in told.items()} == {"loss": 2.0, "alpha": 2.5}
    assert "alpha" in told and "beta" not in told
    with pytest.raises(KeyError, match="beta"):
        told["beta"]
