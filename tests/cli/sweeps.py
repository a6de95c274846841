"""What the tests of sweeps read."""

import csv
import json
from pathlib import Path
from typing import Any

import torch

CLOCK = "time/env_steps_per_s"


def summary(run: Path) -> dict[str, Any]:
    """A run's summary.json."""
    content: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return content


def rows(run: Path) -> list[dict[str, str]]:
    """A run's metrics.csv without what a clock has measured."""
    with (run / "metrics.csv").open() as file:
        return [{key: cell for key, cell in row.items() if key != CLOCK} for row in csv.DictReader(file)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Everything that the run has learned, and its counters."""
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    state: dict[str, torch.Tensor] = content["state_dict"]
    return state


def assert_same_result(one: Path, other: Path) -> None:
    """To the bit."""
    assert rows(one) == rows(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    # NaN is what a run without a target entropy has there.
    assert all(torch.equal(first[key].nan_to_num(7.0), second[key].nan_to_num(7.0)) for key in first)
