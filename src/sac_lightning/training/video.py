"""A film of one episode, as an mp4 file."""

import os
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np

from sac_lightning.algorithm.policy import Policy
from sac_lightning.collect.evaluation import Evaluator
from sac_lightning.core.errors import ConfigError
from sac_lightning.core.files import write_atomically
from sac_lightning.envs import EnvConfig

PACKAGES = ("imageio", "imageio_ffmpeg")
USUAL_FPS = 30


def check_video(env: EnvConfig) -> None:
    """Raise ConfigError unless `env` gives pictures and the package that writes films is installed."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ConfigError(
            "video", "true", f"needs {missing[0]}, which is not installed: pip install 'sac-lightning[video]'"
        )
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures need no screen
    try:
        probe = env.build("rgb_array")
        try:
            probe.reset(seed=0)
            _picture(probe)
        finally:
            probe.close()
    except Exception as error:
        raise ConfigError("video", "true", f"{env.id} gives no pictures: {error}") from error


def film(env: EnvConfig, path: Path, policy: Policy, seed: int, max_steps: int | None = None) -> None:
    """Write the episode that starts from `reset(seed=seed)` to `path`, whole or not at all.

    `max_steps` is the most steps that are filmed; with None the env alone ends the episode.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # ffmpeg reads the container from the name, so the film keeps its own in a folder of its own.
    with TemporaryDirectory(prefix=".film-", dir=path.parent) as folder:
        made = Path(folder) / path.name
        _film(env, made, policy, seed, max_steps)
        write_atomically(path, made.replace)


def _film(env: EnvConfig, path: Path, policy: Policy, seed: int, max_steps: int | None) -> None:
    import imageio.v2 as imageio

    camera = Camera(env.build("rgb_array"))
    fps = camera.metadata.get("render_fps") or USUAL_FPS
    evaluator = Evaluator(lambda: camera, [seed], max_steps=max_steps)
    try:
        with imageio.get_writer(path, fps=fps, macro_block_size=2) as camera.writer:  # H.264 needs even sizes
            evaluator.run(policy)
    finally:
        camera.close()


class Camera(gym.Wrapper[Any, Any, Any, Any]):
    """Gives a picture of every state to `writer`, anything with `append_data`."""

    writer: Any = None

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """A new episode, and its first picture."""
        answer = self.env.reset(**kwargs)
        self.writer.append_data(_picture(self.env))
        return answer

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step, and the picture after it."""
        answer = self.env.step(action)
        self.writer.append_data(_picture(self.env))
        return answer


def _picture(env: gym.Env[Any, Any]) -> np.ndarray[Any, Any]:
    picture: Any = env.render()
    if not isinstance(picture, np.ndarray) or picture.ndim != 3:
        raise ValueError(f"render answers {type(picture).__name__}, not an RGB array")
    return picture
