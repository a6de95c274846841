"""Films of evaluation episodes, for W&B."""

import logging
from pathlib import Path

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from typing_extensions import override

from sac_lightning.training.datamodule import ReplayDataModule, data_of
from sac_lightning.training.loggers import EnvStepWandbLogger
from sac_lightning.training.module import SACModule
from sac_lightning.training.video import check_video, film

log = logging.getLogger(__name__)


class EvaluationVideo(Callback):
    """Films the first evaluation episode every `video_every` epochs of an `EnvStepWandbLogger`.

    The film is an episode of its own, on an env of its own; it is kept in `videos/` of the logger's folder.
    Where none can be made (no package to write it, an env without pictures) one warning says why, and
    training goes on.
    """

    films = True  # the logger looks for it

    def __init__(self) -> None:
        self._loggers: list[EnvStepWandbLogger] = []

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        wanting = [each for each in trainer.loggers if isinstance(each, EnvStepWandbLogger)]
        self._loggers = [each for each in wanting if each.video_every is not None]
        if self._loggers:
            try:
                check_video(data_of(trainer).env)
            except Exception as error:
                self._give_up(error)

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
            self._give_up(error)

    def _film(self, logger: EnvStepWandbLogger, data: ReplayDataModule, module: SACModule) -> None:
        env_steps = int(module.env_steps)
        path = Path(str(logger.save_dir)) / "videos" / f"env_steps-{env_steps}.mp4"
        assert data.evaluator is not None
        film(data.env, path, module.policy, data.evaluator.seeds[0], data.eval_max_steps)
        logger.log_video("eval/video", [str(path)], env_steps, format=["mp4"])

    def _give_up(self, error: Exception) -> None:
        self._loggers = []
        log.warning("no evaluation is filmed: %s", " ".join(str(error).split()))
