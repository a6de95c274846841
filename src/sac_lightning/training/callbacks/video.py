"""Films of episodes as mp4 files, and the callback that films evaluations for W&B."""

import logging
import os
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
from typing_extensions import override

from sac_lightning.algorithm.policy import Policy
from sac_lightning.collect.evaluation import Evaluator
from sac_lightning.core.errors import ConfigError, install, one_line
from sac_lightning.core.files import write_atomically
from sac_lightning.envs import EnvConfig
from sac_lightning.training.datamodule import ReplayDataModule, data_of
from sac_lightning.training.lightning_package import Callback, LightningModule, Trainer
from sac_lightning.training.loggers import EnvStepWandbLogger
from sac_lightning.training.module import SACModule

log = logging.getLogger(__name__)
PACKAGES = ("imageio", "imageio_ffmpeg")
DEFAULT_FPS = 30


class EvaluationVideo(Callback):
    """Films the first evaluation episode every `video_every` epochs of an `EnvStepWandbLogger`.

    The film shows an episode of its own, on an env of its own; it is saved in `videos/` of the logger's
    folder. Where no film can be made (no package to write it, an env without images) one warning says why,
    and training continues.
    """

    films = True  # the logger looks for it

    def __init__(self) -> None:
        self._loggers: list[EnvStepWandbLogger] = []

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        candidates = [each for each in trainer.loggers if isinstance(each, EnvStepWandbLogger)]
        self._loggers = [each for each in candidates if each.video_every is not None]
        self._loggers = self._loggers if trainer.is_global_zero else []
        if self._loggers:
            try:
                check_video(data_of(trainer).env)
            except Exception as error:
                self._disable(error)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data, epoch = data_of(trainer), trainer.current_epoch + 1
        due = [each for each in self._loggers if epoch % (each.video_every or 1) == 0]
        if not due or trainer.sanity_checking or data.epoch_cut_short:
            return
        assert isinstance(pl_module, SACModule)
        try:
            for logger in due:
                self._film(logger, data, pl_module)
        except Exception as error:  # a film must not end a run
            self._disable(error)

    def _film(self, logger: EnvStepWandbLogger, data: ReplayDataModule, module: SACModule) -> None:
        env_steps = int(module.env_steps)
        path = Path(str(logger.save_dir)) / "videos" / f"env_steps-{env_steps}.mp4"
        assert data.evaluator is not None
        film(data.env, path, module.policy, data.evaluator.seeds[0], data.eval_max_steps)
        logger.log_video("eval/video", [str(path)], env_steps, format=["mp4"])

    def _disable(self, error: Exception) -> None:
        self._loggers = []
        log.warning("no evaluation is filmed: %s", one_line(error))


def check_video(env: EnvConfig) -> None:
    """Raise ConfigError unless `env` renders images and the package that writes films is installed."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        advice = f"needs {missing[0]}, which is not installed: {install('video')}"
        raise ConfigError("video", "true", advice)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # rendering needs no screen
    try:
        with closing(env.build("rgb_array")) as probe:
            probe.reset(seed=0)
            _frame(probe)
    except Exception as error:
        raise ConfigError("video", "true", f"{env.id} renders no images: {error}") from error


def film(env: EnvConfig, path: Path, policy: Policy, seed: int, max_steps: int | None = None) -> None:
    """Write the episode that starts from `reset(seed=seed)` to `path`, whole or not at all.

    Args:
        env: the env that is filmed; a new one is made.
        path: an mp4 file.
        policy: chooses the actions, by its mode.
        seed: of the episode's reset.
        max_steps: steps after which the film ends; None for the env's own end.
    """
    import imageio.v2 as imageio

    path.parent.mkdir(parents=True, exist_ok=True)
    # ffmpeg reads the container from the name, so the film keeps its own in a folder of its own.
    with TemporaryDirectory(prefix=".film-", dir=path.parent) as folder:
        file = Path(folder) / path.name
        with closing(Camera(env.build("rgb_array"))) as camera:
            fps = camera.metadata.get("render_fps") or DEFAULT_FPS
            # H.264 needs even sizes.
            with imageio.get_writer(file, fps=fps, macro_block_size=2) as camera.writer:
                Evaluator(lambda: camera, [seed], max_steps=max_steps).run(policy)
        write_atomically(path, file.replace)


class Camera(gym.Wrapper[Any, Any, Any, Any]):
    """Appends an image of every state to `writer`, anything with `append_data`."""

    writer: Any = None

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        answer = self.env.reset(**kwargs)
        self.writer.append_data(_frame(self.env))
        return answer

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        answer = self.env.step(action)
        self.writer.append_data(_frame(self.env))
        return answer


def _frame(env: gym.Env[Any, Any]) -> np.ndarray[Any, Any]:
    frame: Any = env.render()
    if not isinstance(frame, np.ndarray) or frame.ndim != 3:
        raise ValueError(f"render answers {type(frame).__name__}, not an RGB array")
    return frame
