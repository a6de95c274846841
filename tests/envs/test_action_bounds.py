"""Actions are elements of the env's space: of its dtype, within the bounds that this dtype has."""

import inspect
import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tests.envs.test_wrappers_copy import collector_of
from tests.tasks import OneState, env_config

from sac_lightning import SACModule
from sac_lightning.collect.evaluation import Evaluator
from sac_lightning.core.errors import ConfigError
from sac_lightning.envs import EnvConfig, FlatActions, action_spec
from sac_lightning.spaces import BoxAction, ObsSpec

OBS = ObsSpec((1,), "float32")
CHOICE = spaces.Discrete(3, start=5)
# None of these bounds is a number of float32, or float32 is no part of the dtype.
SPACES: dict[str, gym.Space[Any]] = {
    "±0.1": spaces.Box(-0.1, 0.1, (2,), np.float64),
    "±π": spaces.Box(-math.pi, math.pi, (1,), np.float64),
    "uneven": spaces.Box(np.array([[-0.3], [0.7]]), np.array([[0.1], [0.9]]), dtype=np.float64),
    "half open": spaces.Box(np.array([0.7, -np.inf]), np.array([np.inf, 0.1]), dtype=np.float64),
    "float16": spaces.Box(-2.0, 2.0, (3,), np.float16),
    "float16 of whole numbers": spaces.Box(0.0, 9.0, (1,), np.float16),
    "float16 ±0.1": spaces.Box(-0.1, 0.1, (1,), np.float16),
    "multi_discrete int32": spaces.MultiDiscrete([3, 2], dtype=np.int32),
    "multi_binary": spaces.MultiBinary((2, 3)),
    "many int8": spaces.MultiDiscrete([20, 20], dtype=np.int8),
}
if "dtype" in inspect.signature(spaces.Discrete).parameters:  # older Gymnasiums know int64 alone
    SPACES["int32"] = spaces.Discrete(3, dtype=np.int32)
SPACED = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def asserting(space: gym.Space[Any]) -> EnvConfig:
    """An env that takes nothing but elements of `space`; its episodes have five steps."""

    def reward(action: Any) -> float:
        assert space.contains(np.asarray(action)), repr(action)
        return 1.0

    return env_config(lambda: OneState(space, reward, length=5))


def at_a_bound(space: gym.Space[Any], bias: float) -> SACModule:
    """A module whose policy is sure of one end of every dimension."""
    module = SACModule(OBS, action_spec(space))
    with torch.no_grad():
        module.sac.actor.output.weight.zero_()
        module.sac.actor.output.bias.fill_(bias)
    return module


@SPACED
@pytest.mark.parametrize("bias", [-30.0, 30.0])
def test_an_env_that_asserts_its_space_is_collected_from(space: gym.Space[Any], bias: float) -> None:
    envs = asserting(space).build_vector(2)
    collector, replay, _ = collector_of(envs, "same_step")
    collector.collect(at_a_bound(space, bias).policy, 20)  # the first two steps at random
    assert len(replay) == 40


@SPACED
def test_and_it_is_evaluated_and_acted_in(space: gym.Space[Any]) -> None:
    for bias in (-30.0, 30.0):
        policy = at_a_bound(space, bias).policy
        assert Evaluator(asserting(space).build, range(2)).run(policy).returns == (5.0, 5.0)
        assert space.contains(np.asarray(policy.act(np.ones(1, np.float32))))


@pytest.mark.parametrize("name", ["±0.1", "float16", "multi_discrete int32"])
def test_workers_are_sent_the_same(name: str) -> None:
    space = SPACES[name]
    config = EnvConfig(id="asserting", make=asserting(space).make, vectorization="async")
    envs = config.build_vector(2)
    try:
        collector, replay, _ = collector_of(envs, "same_step")
        collector.collect(at_a_bound(space, 30.0).policy, 6)
        assert len(replay) == 12
    finally:
        envs.close()


@pytest.mark.parametrize("end", [-1.0, 1.0])
def test_the_numbers_of_a_hybrid_row_lie_within_their_bounds(end: float) -> None:
    fine, coarse = spaces.Box(-0.1, 0.1, (1,), np.float64), spaces.Box(-0.3, 0.3, (2,), np.float16)
    space = spaces.Tuple((CHOICE, fine, coarse))
    env = FlatActions(OneState(space, lambda action: float(space.contains(action))))
    spec = action_spec(env.action_space)
    row = spec.to_env(np.array([[0.0, 0.0, 1.0, end, end, end]], np.float32))[0]
    assert env.action_space.contains(row)
    # Whoever has the row alone, as a reader of an exported policy has, may give each box its part.
    assert fine.contains(row[1:2].astype(np.float64)) and coarse.contains(row[2:].astype(np.float16))
    env.reset()
    assert env.step(row)[1] == 1.0


def test_a_box_as_wide_as_its_dtype_is_scaled_to_numbers() -> None:
    most = np.finfo(np.float64).max
    spec = action_spec(spaces.Box(-most, most, (1,), np.float64))
    assert spec.to_env(np.array([[-1.0], [0.0], [1.0]], np.float32)).tolist() == [[-most], [0.0], [most]]


def test_float32_boxes_get_the_actions_that_they_always_got() -> None:
    rng = np.random.default_rng(0)
    low, high = -rng.uniform(0, 9, 6).astype(np.float32), rng.uniform(0, 9, 6).astype(np.float32)
    spec = action_spec(spaces.Box(low, high, dtype=np.float32))
    assert isinstance(spec, BoxAction)
    action = np.float32(1.2) * rng.uniform(-1, 1, (500, 6)).astype(np.float32)
    wide, top = low.astype(np.float64), high.astype(np.float64)
    scaled = np.clip(action * (top - wide) / 2 + (top + wide) / 2, wide, top).astype(np.float32)
    np.testing.assert_allclose(spec.to_env(action), scaled, rtol=1e-6)
    assert spec.to_env(action).dtype == np.float32


def test_numbers_wider_than_float64_are_refused() -> None:
    with pytest.raises(ConfigError, match="not supported; supported: Box of floats"):
        action_spec(spaces.Box(-1.0, 1.0, (1,), np.longdouble))
