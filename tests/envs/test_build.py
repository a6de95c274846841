"""Envs as they come out of a configuration."""

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sac_lightning.core.errors import ConfigError
from sac_lightning.envs import EnvConfig, action_spec, declared_action, obs_spec
from sac_lightning.envs.spaces import ObsRow
from sac_lightning.spaces import BoxAction, DiscreteAction, ObsPart

from .counter import Counter

CONF = Path(__file__).parents[2] / "conf"
CATALOGUE = sorted(path.stem for path in (CONF / "env").glob("*.yaml") if path.stem != "gym")


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=["paths.run_dir=unused", *overrides])


# Envs of other packages, and the package. Of the last two each game has actions of its own.
PACKAGES = {
    "minigrid": "minigrid",
    "fetch_reach": "gymnasium_robotics",
    "minatar": "minatar",
    "atari": "ale_py",
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_catalogued_env_builds_and_is_what_its_file_declares(name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    config = composed(f"env={name}")
    assert config.total_env_steps >= 5000
    env_config = instantiate(config.env)
    env_config.check()
    env = env_config.build()
    declared, real = declared_action(env_config.action), action_spec(env.action_space)
    assert type(declared) is type(real) or (declared is None and name in ("minatar", "atari"))
    if isinstance(real, BoxAction):
        assert isinstance(declared, BoxAction) and declared.size == real.size and real.bounded
    obs, _ = env.reset(seed=0)
    env.action_space.seed(0)
    assert obs.shape == obs_spec(env.observation_space).shape
    for _ in range(30):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert np.isfinite(obs).all() and np.isfinite(reward)
        if terminated or truncated:
            env.reset()
    env.close()


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named_with_the_command_that_helps(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    monkeypatch.delitem(sys.modules, "minatar.gym", raising=False)
    with pytest.raises(ConfigError, match=r"env\.(imports|id)=.*(cannot be imported|needs) .*: pip install"):
        instantiate(composed(f"env={name}").env).check()


def test_general_env_file_needs_an_id() -> None:
    config = composed("env=gym")
    assert OmegaConf.is_missing(config.env, "id")
    assert instantiate(composed("env=gym", "env.id=Hopper-v5").env).build().action_space.shape == (3,)


def test_env_argument_is_set_from_the_command_line() -> None:
    env = instantiate(composed("env=pendulum", "env.kwargs.g=9.8").env).build()
    assert env.unwrapped.g == 9.8


def test_declared_action_must_be_the_real_one() -> None:
    with pytest.raises(ConfigError, match=r"env.action.*declare \{box: 1\} or null"):
        EnvConfig(id="Pendulum-v1", action={"discrete": 3}).build()
    with pytest.raises(ConfigError, match=r"declare \{discrete: 2\}"):
        EnvConfig(id="CartPole-v1", action={"discrete": 3}).build_vector(1)


def test_wrappers_apply_in_order() -> None:
    stack: dict[str, Any] = {"name": "FrameStackObservation", "stack_size": 4}
    flat = {"name": "gymnasium.wrappers.FlattenObservation"}
    assert EnvConfig(id="Pendulum-v1", wrappers=[stack]).build().observation_space.shape == (4, 3)
    assert EnvConfig(id="Pendulum-v1", wrappers=[stack, flat]).build().observation_space.shape == (12,)
    assert EnvConfig(id="Pendulum-v1", wrappers=[flat, stack]).build().observation_space.shape == (4, 3)


def test_wrapper_that_refuses_the_env_is_a_config_error() -> None:
    rescale = {"name": "RescaleAction", "min_action": -1.0, "max_action": 1.0}
    with pytest.raises(ConfigError, match=r"env.wrappers=RescaleAction"):
        EnvConfig(id="CartPole-v1", wrappers=[rescale]).build()


ROWS = [
    # An observation, its row and the row's dtype. The value 4 of Discrete(4, start=2) is its third.
    (
        spaces.Dict({"a": spaces.Box(-1, 1, (2, 2)), "b": spaces.Dict({"c": spaces.Discrete(4, start=2)})}),
        {"a": np.array([[0.5, -0.5], [1, 0]]), "b": {"c": 4}},
        ([0.5, -0.5, 1, 0, 2], "float32"),
    ),
    (
        spaces.Tuple([spaces.Box(0, 255, (2,), np.uint8), spaces.MultiBinary(3)]),
        (np.array([7, 255], np.uint8), np.array([0, 1, 1], np.int8)),
        ([7, 255, 0, 1, 1], "uint8"),
    ),
    (spaces.Discrete(5), np.int64(3), ([3], "uint8")),
    (spaces.Discrete(500), 499, ([499], "float32")),  # Taxi
    (spaces.MultiDiscrete([2, 3], start=[5, 0]), np.array([6, 2]), ([1, 2], "uint8")),
    (spaces.MultiBinary((2, 2)), np.array([[1, 0], [0, 1]], np.int8), ([1, 0, 0, 1], "uint8")),
]


@pytest.mark.parametrize(("space", "obs", "row"), ROWS)
def test_observations_of_other_spaces_become_one_row(space: gym.Space[Any], obs: Any, row: Any) -> None:
    config = EnvConfig(id="counter", make=lambda: Counter(observation_space=space, sample=obs))
    env = config.build()
    found, _ = env.reset()
    assert (found.tolist(), str(found.dtype)) == row
    spec = obs_spec(env.observation_space)
    assert (spec.shape, spec.dtype) == (found.shape, row[1])
    assert sum(part.size for part in spec.parts) == spec.size
    envs = config.build_vector(2)
    assert envs.reset()[0].tolist() == [row[0]] * 2
    envs.close()


def test_parts_of_a_row_are_named_by_their_keys() -> None:
    inner = spaces.Dict({"c": spaces.Discrete(4, start=2), "d": spaces.MultiBinary(3)})
    parts = obs_spec(ObsRow(spaces.Dict({"a": spaces.Box(0, 255, (2, 2), np.uint8), "b": inner}))).parts
    assert parts == (
        ObsPart("a", (2, 2), "uint8"),
        ObsPart("b/c", (1,), "int64", (4,)),
        ObsPart("b/d", (3,), "bool"),
    )


def test_observations_of_no_fixed_size_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"not supported; supported: Box, Discrete.*FilterObservation"):
        EnvConfig(
            id="counter", make=lambda: Counter(observation_space=spaces.Sequence(spaces.Discrete(3)))
        ).build()


def test_images_keep_their_shape_and_bytes() -> None:
    space = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    env = EnvConfig(
        id="counter", make=lambda: Counter(observation_space=space, sample=space.sample())
    ).build()
    spec = obs_spec(env.observation_space)
    assert (spec.shape, spec.dtype, spec.size) == ((8, 8, 3), "uint8", 192)


@pytest.mark.parametrize(
    ("dtype", "stored"), [(np.float64, "float32"), (np.float32, "float32"), (np.int64, "int64")]
)
def test_floats_are_stored_as_float32_and_integers_as_they_are(dtype: Any, stored: str) -> None:
    assert obs_spec(spaces.Box(-5, 5, (2,), dtype)).dtype == stored


def test_action_spaces_become_plain_sizes() -> None:
    low, high = np.array([[-2], [0]], np.float32), np.array([[2], [1]], np.float32)
    box = spaces.Box(low, high)
    assert action_spec(box) == BoxAction((-2.0, 0.0), (2.0, 1.0), (2, 1))
    assert action_spec(spaces.Discrete(4, start=-1)) == DiscreteAction(4, start=-1)
    assert declared_action({"box": 2}) == BoxAction((-1.0, -1.0), (1.0, 1.0), (2,))
    assert declared_action({"discrete": 4}) == DiscreteAction(4)
    assert declared_action(None) is None


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete([1, 1]),
        spaces.Discrete(1),
        spaces.Box(0, 9, (2,), np.int64),
        spaces.Box(1.0, 1.0, (1,)),
        spaces.Text(3),
    ],
)
def test_unsupported_action_space_is_named(space: gym.Space[Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        action_spec(space)
    assert caught.value.key == "env.id" and str(space) in str(caught.value)


@pytest.mark.parametrize("own", [False, True])
def test_time_limit_truncates_and_does_not_terminate(own: bool) -> None:
    make = (lambda: Counter(length=99)) if own else None
    env = EnvConfig(id="counter" if own else "Pendulum-v1", make=make, max_episode_steps=2).build()
    env.reset(seed=0)
    action = env.action_space.sample()
    assert env.step(action)[2:4] == (False, False)
    assert env.step(action)[2:4] == (False, True)


def test_render_mode_reaches_the_env() -> None:
    env = EnvConfig(id="Pendulum-v1").build(render_mode="rgb_array")
    env.reset(seed=0)
    assert np.asarray(env.render()).shape == (500, 500, 3)
    env.close()


def test_mujoco_leaves_no_log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    EnvConfig(id="HalfCheetah-v5").build().close()
    assert list(tmp_path.iterdir()) == []
