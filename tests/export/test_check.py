"""A file is held to 1e-5, however exact float32 is for its policy."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.cli.conftest import ROOT
from torch import Tensor, nn

from sac_lightning import SACModule
from sac_lightning.algorithm.policy import Policy
from sac_lightning.export import TOLERANCE, largest_difference
from sac_lightning.export.check import _Float64, _in_float64, probes
from sac_lightning.spaces import Array


@pytest.fixture
def ant() -> Policy:
    """A policy with Batch Renormalization, whose float32 actions are over 1e-5 from those in float64."""
    return SACModule.load_from_checkpoint(ROOT / "zoo" / "ant" / "policy.ckpt").policy


def in_float64(policy: Policy) -> Callable[[Array], Array]:
    exact = _in_float64(policy)

    def run(obs: Array) -> Array:
        with _Float64():
            return exact.act(obs.astype(np.float64), deterministic=True)

    return run


def test_a_file_more_exact_than_its_policy_is_right(ant: Policy) -> None:
    run, apart = in_float64(ant), 0.0
    for obs in probes(ant.reads, np.random.default_rng(0)):
        scale = np.maximum(1.0, np.abs(obs).max(-1, keepdims=True))
        apart = max(apart, float((np.abs(run(obs) - ant.act(obs, deterministic=True)) / scale).max()))
    assert apart > TOLERANCE
    assert largest_difference(ant, run) <= TOLERANCE


def test_a_file_that_rounds_as_its_policy_does_in_other_rows_is_right(ant: Policy) -> None:
    exact = in_float64(ant)

    def run(obs: Array) -> Array:
        best, scale = exact(obs), np.maximum(1.0, np.abs(obs).max(-1, keepdims=True))
        rounding = (ant.act(obs, deterministic=True) - best) / scale
        found: Array = np.clip(best + scale * rounding[::-1], -1.0, 1.0).astype(np.float32)
        return found

    assert largest_difference(ant, run) <= TOLERANCE


@pytest.mark.parametrize("shift", [3e-5, 1e-3])
def test_a_file_that_is_further_away_than_its_policy_is_wrong(ant: Policy, shift: float) -> None:
    # Half the width of an action is 1. Where float32 is exact, the whole shift counts.
    found = largest_difference(ant, lambda obs: ant.act(obs, deterministic=True) * np.float32(1.0 - shift))
    assert found == pytest.approx(shift, rel=0.3)


class Jumps(nn.Module):
    """In float64 another function, where the first number is large: no rounding."""

    def __init__(self, torso: nn.Module) -> None:
        super().__init__()
        self.torso = torso

    def forward(self, x: Tensor) -> Tensor:
        jump = (x[..., :1] > 1.5) & (x.dtype == torch.float64)
        out: Tensor = self.torso(x) + jump
        return out


def test_a_jump_in_some_rows_hides_no_error_in_the_others(ant: Policy) -> None:
    actor = deepcopy(ant.actor)
    actor.torso = Jumps(actor.torso)
    policy = replace(ant, actor=actor)

    def run(obs: Array) -> Array:
        # Wrong in one batch alone, that of standard deviation 1.
        is_wrong = 2.0 < np.abs(obs).max() < 8.0
        return policy.act(obs, deterministic=True) * np.float32(0.999 if is_wrong else 1.0)

    # Of a row without a jump whose largest number is 2: 1e-3 / 2 less 1e-4, which rounding may be at most.
    assert largest_difference(policy, run) == pytest.approx(4e-4, rel=0.1)


class Float32Alone(nn.Module):
    def __init__(self, torso: nn.Module) -> None:
        super().__init__()
        self.torso = torso

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.torso(x.type(torch.float32))
        return out


def test_a_part_that_computes_in_float32_alone_is_compared_with_itself(ant: Policy) -> None:
    actor = deepcopy(ant.actor)
    actor.torso = Float32Alone(actor.torso)
    policy = replace(ant, actor=actor)
    assert largest_difference(policy, lambda obs: policy.act(obs, deterministic=True)) == 0.0
    found = largest_difference(policy, lambda obs: policy.act(obs, deterministic=True) * np.float32(0.999))
    assert found == pytest.approx(1e-3, rel=0.01)
