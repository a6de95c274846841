"""What a configuration refuses, and in which words; what may be given in place of one."""

import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from sac_lightning import ReplayDataModule
from sac_lightning.core.errors import ConfigError
from sac_lightning.envs import EnvConfig, env_config
from sac_lightning.envs.registry import draw_without_display
from sac_lightning.replay import ReplayBuffer
from tasks import Clock


def refused(**config: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        EnvConfig(**{"id": "Pendulum-v1", **config}).check()
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("Pendulum", "Pendulum-v1"),
        ("Pendulum-v0", "Pendulum-v1"),
        ("Pendulum-v9", "Pendulum-v1"),
        ("pendulum-v1", "Pendulum-v1"),
        ("Pendulm-v1", "Pendulum-v1"),
        ("lunar_lander", "LunarLander-v3"),
        ("cheetah", "HalfCheetah-v5"),
        ("half cheetah", "HalfCheetah-v5"),
        ("HalfCheetah-v7", "HalfCheetah-v5"),
        ("farama/Pendulum-v1", "Pendulum-v1"),
        ("phys2d/Pendulum-v1", "phys2d/Pendulum-v0"),
    ],
)
def test_unknown_id_names_the_nearest(wrong: str, meant: str) -> None:
    error = refused(id=wrong)
    assert error.key == "env.id" and error.value == wrong
    assert f"Did you mean {meant}" in str(error)


def test_id_like_no_other_gets_no_guess_and_says_how_to_register() -> None:
    error = refused(id="Zzyzx-v0")
    assert "Did you mean" not in str(error) and "env.imports" in str(error)


def test_id_that_moved_away_names_its_successor() -> None:
    assert "Did you mean HalfCheetah-v5?" in str(refused(id="HalfCheetah-v2"))


def test_check_makes_no_env(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_env(self: Any, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("an env was made or reset")

    from gymnasium.envs.classic_control import PendulumEnv

    monkeypatch.setattr(PendulumEnv, "reset", no_env)
    monkeypatch.setattr(gym, "make", no_env)
    EnvConfig(
        id="Pendulum-v1", kwargs={"g": 9.8}, wrappers=[{"name": "ClipAction"}], action={"box": 1}
    ).check()


@pytest.mark.parametrize(
    ("extra", "module", "env_id"), [("mujoco", "mujoco", "Ant-v5"), ("box2d", "Box2D", "LunarLander-v3")]
)
def test_missing_dependency_names_the_extra_to_install(extra: str, module: str, env_id: str) -> None:
    # None in sys.modules is Python's own way to say that a module cannot be imported.
    program = (
        f"import sys; sys.modules['{module}'] = None\n"
        "from sac_lightning.envs import EnvConfig\n"
        f"EnvConfig(id='{env_id}').check()"
    )
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(source)}
    )
    assert f"env.id={env_id}: needs {extra}" in done.stderr
    assert f"pip install 'gymnasium[{extra}]'" in done.stderr  # works without a release of this project


@pytest.mark.skipif(find_spec("mujoco") is None, reason="needs MuJoCo")
def test_mujoco_that_cannot_draw_is_not_called_missing() -> None:
    source = Path(__file__).parents[2] / "src"
    program = "from sac_lightning.envs import EnvConfig; EnvConfig(id='Hopper-v5').check()"
    environment = {"PYTHONPATH": str(source), "MUJOCO_GL": "osmesa", "PYOPENGL_PLATFORM": "osmesa"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    if done.returncode:  # OSMesa is not here
        assert "MuJoCo cannot draw with MUJOCO_GL=osmesa" in done.stderr
        assert "unset it, or set MUJOCO_GL=egl" in done.stderr


def test_mujoco_draws_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sac_lightning.envs.registry.ctypes.CDLL", lambda name: None)
    draw_without_display()
    assert os.environ.get("MUJOCO_GL") == ("egl" if sys.platform == "linux" else None)
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    draw_without_display()
    assert os.environ["MUJOCO_GL"] == "glfw"


@pytest.mark.parametrize(
    ("config", "key", "words"),
    [
        ({"vectorization": "asink"}, "env.vectorization", "Did you mean async?"),
        ({"autoreset": "disabled"}, "env.autoreset", "same_step or next_step"),
        ({"max_episode_steps": 0}, "env.max_episode_steps", "at least 1"),
        ({"max_episode_steps": True}, "env.max_episode_steps", "at least 1"),
        ({"max_episode_steps": 1.5}, "env.max_episode_steps", "at least 1"),
        ({"kwargs": {"gg": 1}}, "env.kwargs.gg", "Did you mean g?"),
        ({"kwargs": {"render_mode": "human"}}, "env.kwargs.render_mode", "set env.render_mode"),
        ({"kwargs": {"max_episode_steps": 5}}, "env.kwargs.max_episode_steps", "env.max_episode_steps"),
        ({"kwargs": [1]}, "env.kwargs", "must be a mapping"),
        ({"wrappers": {"name": "ClipAction"}}, "env.wrappers", "must be a list"),
        ({"wrappers": ["ClipAction"]}, "env.wrappers", "{name: ClassName"),
        ({"wrappers": [{"stack_size": 4}]}, "env.wrappers", "{name: ClassName"),
        ({"wrappers": [{"name": "ClipActions"}]}, "env.wrappers", "Did you mean ClipAction"),
        ({"wrappers": [{"name": "Effort"}]}, "env.wrappers", "write its package too: my_package.Effort"),
        ({"wrappers": [{"name": "FrameStackObservation"}]}, "env.wrappers", "stack_size"),
        ({"wrappers": [{"name": "ClipAction", "low": 1}]}, "env.wrappers", "low"),
        ({"wrappers": [{"name": "gymnasium.spaces.Box"}]}, "env.wrappers", "no such wrapper"),
        ({"wrappers": [{"name": "subprocess.Popen"}]}, "env.wrappers", "env.allowed_prefixes=[subprocess]"),
        ({"wrappers": [{"name": "gymnasiumx.Wrapper"}]}, "env.wrappers", "env.allowed_prefixes"),
        ({"imports": ["antigravity"]}, "env.imports", "env.allowed_prefixes=[antigravity]"),
        ({"imports": ["no_such"], "allowed_prefixes": ["no_such"]}, "env.imports", "cannot be imported"),
        ({"action": {"cube": 2}}, "env.action", "{box: A}"),
        ({"action": {"box": 0}}, "env.action", "{box: A}"),
        ({"action": {"discrete": 1}}, "env.action", "at least 2"),
        ({"action": {"box": 1, "discrete": 2}}, "env.action", "{box: A}"),
        ({"id": ""}, "env.id", "name an env"),
    ],
)
def test_mistake_names_its_key_and_what_is_allowed(config: dict[str, Any], key: str, words: str) -> None:
    error = refused(**config)
    assert error.key == key
    assert words in str(error)


def test_module_outside_the_allowed_prefixes_is_not_imported() -> None:
    refused(imports=["antigravity"])
    assert "antigravity" not in sys.modules


def test_imported_module_registers_its_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_registered_envs.py").write_text(
        "import gymnasium as gym\n"
        "gym.register('Mine-v0', 'gymnasium.envs.classic_control:PendulumEnv', max_episode_steps=7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = ["my_registered_envs"]
    env = EnvConfig(id="Mine-v0", imports=names, allowed_prefixes=names).build()
    assert env.unwrapped.spec is not None and env.unwrapped.spec.id == "Mine-v0"
    env.close()


def test_arguments_that_only_the_env_can_judge_are_told_when_it_is_made() -> None:
    # HalfCheetah-v5 takes **kwargs, LunarLander asserts -12 < gravity < 0.
    for env_id, kwargs in (("HalfCheetah-v5", {"legs": 4}), ("LunarLander-v3", {"gravity": 3.0})):
        config = EnvConfig(id=env_id, kwargs=kwargs)
        config.check()
        with pytest.raises(ConfigError, match=next(iter(kwargs))) as caught:
            config.build()
        assert caught.value.key == "env.kwargs"


@pytest.mark.parametrize("num_envs", [0, -1, True, 1.0])
def test_vector_needs_a_whole_number_of_envs(num_envs: Any) -> None:
    with pytest.raises(ConfigError, match="num_envs"):
        EnvConfig(id="Pendulum-v1").build_vector(num_envs)


class Held(Clock):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (Clock, "Clock"),
        (lambda: Clock(), "lambda"),
        (Clock(), "Clock"),
        (gym.make("Pendulum-v1"), "Pendulum-v1"),
        ("Pendulum-v1", "Pendulum-v1"),
        (EnvConfig(id="Pendulum-v1"), "Pendulum-v1"),
    ],
)
def test_a_data_module_takes_a_class_a_function_an_env_and_an_id(given: Any, name: str) -> None:
    data = ReplayDataModule(given, total_env_steps=2_000)
    assert data.env.id == name
    assert data.specs[0].shape == ((3,) if "Pendulum" in name else (2,))


def test_an_env_itself_is_copied_and_left_alone() -> None:
    env = Clock()
    config = env_config(env)
    first, second = config.build(), config.build()
    first.reset(seed=0)
    first.step(0)
    assert env.episode == -1
    assert first.unwrapped is not second.unwrapped is not env


@pytest.mark.parametrize(("given", "message"), [(Held(), "cannot be copied"), (5, "must be an EnvConfig")])
def test_what_cannot_be_used_is_explained(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        env_config(given)


SKIPS = {"name": "gymnasium.wrappers.MaxAndSkipObservation", "skip": 5}


@pytest.mark.parametrize(
    ("options", "steps", "gamma"),
    [
        ({}, 200, 39 / 40),  # Pendulum's own limit: 200 / 5 = 40
        ({"max_episode_steps": 5000}, 5000, 0.995),  # 999 / 1000, cut off
        ({"max_episode_steps": 500, "wrappers": [SKIPS]}, 100, 0.95),  # 19 / 20
        ({"wrappers": [{"name": "TimeLimit", "max_episode_steps": 10}]}, 10, 0.95),  # 1 / 2, cut off
    ],
)
def test_gamma_follows_from_the_time_limit(options: dict[str, Any], steps: int, gamma: float) -> None:
    env = EnvConfig(id="Pendulum-v1", **options)
    data = ReplayDataModule(env, replay=ReplayBuffer(gamma="auto"))
    assert env.time_limit == steps
    assert data.replay.gamma == pytest.approx(gamma, abs=1e-12)


def test_gamma_cannot_follow_from_an_env_without_a_time_limit() -> None:
    with pytest.raises(ConfigError, match="gamma=auto: needs an env with a time limit"):
        ReplayDataModule(Clock, replay=ReplayBuffer(gamma="auto"))
