"""Exported policies give elements of the env's action space, whatever its dtype and bounds."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from tests.envs.test_action_bounds import CHOICE, at_a_bound

from sac_lightning import export
from sac_lightning.envs.spaces import FlatHybrid
from sac_lightning.export.actions import exported_action

SPACES: dict[str, gym.Space[Any]] = {
    "±0.1": spaces.Box(-0.1, 0.1, (2, 1), np.float64),
    "±π": spaces.Box(-math.pi, math.pi, (1,), np.float64),
    "float16": spaces.Box(np.float16([-0.1, 0.0]), np.float16([0.1, 9.0]), dtype=np.float16),
    "multi_discrete": spaces.MultiDiscrete([3, 2], dtype=np.int32),
    "multi_binary": spaces.MultiBinary((2, 2)),
    "hybrid": FlatHybrid(spaces.Tuple((CHOICE, spaces.Box(-0.1, 0.1, (1,), np.float64)))),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_an_exported_action_lies_within_its_bounds(kind: str, space: gym.Space[Any]) -> None:
    write = export.torch_bytes if kind == "torch" else export.onnx_bytes
    run = export.run_torch if kind == "torch" else export.run_onnx
    policy = at_a_bound(space, 30.0).policy
    act = run(write(policy, {}))
    for action in act(np.ones((3, 1), np.float32)):
        assert action.dtype == space.dtype
        assert space.contains(np.asarray(action)), repr(action)
    assert export.largest_difference(policy, act) <= export.TOLERANCE


def test_the_description_and_the_data_set_name_the_dtype() -> None:
    for space in SPACES.values():
        policy = at_a_bound(space, 0.0).policy
        assert export.describe(policy)["action"]["dtype"] == str(space.dtype)
        written: Any = exported_action(policy.action).space()
        assert written.dtype == space.dtype
        if isinstance(space, spaces.Box):
            assert (written.low == space.low).all() and (written.high == space.high).all()
