"""Gymnasium's own `my_package:MyEnv-v0`, and render modes while training."""

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sac_lightning.core.errors import ConfigError
from sac_lightning.envs import EnvConfig

SOURCE = """
import gymnasium as gym
gym.register("{id}", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=7)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package with an inner module; each registers an id when it is imported."""
    folder = tmp_path / "own_envs_of_test"
    folder.mkdir()
    (folder / "__init__.py").write_text(SOURCE.format(id="Outer-v0"))
    (folder / "inner.py").write_text(SOURCE.format(id="a/Inner-v3"))
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in (folder.name, f"{folder.name}.inner"):
        sys.modules.pop(name, None)
    for name in ("Outer-v0", "a/Inner-v3"):
        gym.registry.pop(name, None)


@pytest.mark.parametrize(("module", "name"), [("", "Outer-v0"), (".inner", "a/Inner-v3")])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_the_module_of_an_id_is_imported_first(
    module: str, name: str, vectorization: str, package: str
) -> None:
    config = EnvConfig(
        id=f"{package}{module}:{name}", allowed_prefixes=[package], vectorization=vectorization
    )
    config.check()
    env = config.build()
    assert env.unwrapped.spec is not None and env.unwrapped.spec.id == name
    env.close()
    envs = config.build_vector(2)
    assert envs.reset(seed=0)[0].shape == (2, 3)
    assert envs.name == config.id
    envs.close()


def test_gymnasium_s_own_package_needs_no_permission() -> None:
    EnvConfig(id="gymnasium:Pendulum-v1").build().close()


def test_a_module_that_is_not_allowed_is_not_imported(package: str) -> None:
    with pytest.raises(ConfigError, match=rf"env.id={package}: only .*env.allowed_prefixes=\[{package}\]"):
        EnvConfig(id=f"{package}:Outer-v0").check()
    assert package not in sys.modules


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        ("{}:Inner-v0", "knows no such id. Did you mean a/Inner-v3"),
        ("{}:Pendulm-v1", "Did you mean Pendulum-v1"),
        ("{}.missing:Outer-v0", "it cannot be imported"),
        ("{}:", "knows no such id"),
        (":Outer-v0", "may be imported"),
    ],
)
def test_a_mistake_in_it_is_named(env_id: str, words: str, package: str) -> None:
    EnvConfig(id=f"{package}.inner:a/Inner-v3", allowed_prefixes=[package]).check()
    with pytest.raises(ConfigError) as caught:
        EnvConfig(id=env_id.format(package), allowed_prefixes=[package]).check()
    assert caught.value.key == "env.id" and words in str(caught.value)


def test_a_plain_id_that_is_unknown_says_how_to_name_its_package() -> None:
    with pytest.raises(ConfigError, match=r"write env\.id=PACKAGE:Zzyzx-v0"):
        EnvConfig(id="Zzyzx-v0").check()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_envs_that_train_and_evaluate_have_the_render_mode(vectorization: str) -> None:
    pictures = {"name": "AddRenderObservation"}
    config = EnvConfig(
        id="CartPole-v1", render_mode="rgb_array", wrappers=[pictures], vectorization=vectorization
    )
    env, envs = config.build(), config.build_vector(2)
    first, (both, _) = env.reset(seed=0)[0], envs.reset(seed=0)
    assert first.shape == (400, 600, 3) and both.shape == (2, 400, 600, 3)
    assert first.dtype == both.dtype == np.uint8 and len(np.unique(both)) > 2
    np.testing.assert_array_equal(first, both[0])
    for each in (env, envs):
        each.close()


def test_a_factory_is_given_the_render_mode() -> None:
    def make(**options: Any) -> gym.Env[Any, Any]:
        given.append(options)
        return gym.make("Pendulum-v1", **options)

    given: list[Any] = []
    EnvConfig(id="own", make=make, render_mode="rgb_array").build().close()
    EnvConfig(id="own", make=make, render_mode="rgb_array_list").build(render_mode="rgb_array").close()
    EnvConfig(id="own", make=make).build_vector(1).close()
    assert given == [{"render_mode": "rgb_array"}, {"render_mode": "rgb_array"}, {}]


@pytest.mark.parametrize("mode", ["rgb_array", "rgb_array_list", "human", "depth_array"])
def test_every_mode_that_gymnasium_makes_of_an_env_s_own_is_taken(mode: str) -> None:
    EnvConfig(id="HalfCheetah-v5", render_mode=mode).check()


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("rgb_aray", "Pendulum-v1 has human, rgb_array, rgb_array_list. Did you mean rgb_array"),
        ("ansi", "Pendulum-v1 has human"),
        ("", "null or text"),
        (3, "null or text"),
    ],
)
def test_another_mode_is_a_mistake_before_an_env_is_made(mode: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EnvConfig(id="Pendulum-v1", render_mode=mode).check()
    assert caught.value.key == "env.render_mode" and words in str(caught.value)


def test_as_an_argument_of_the_env_it_is_pointed_to_its_key() -> None:
    with pytest.raises(ConfigError, match=r"env\.kwargs\.render_mode=human: set env\.render_mode"):
        EnvConfig(id="Pendulum-v1", kwargs={"render_mode": "human"}).check()
