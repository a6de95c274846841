"""`last.ckpt` after every epoch, `best.ckpt` by evaluation; a crash leaves the old file whole."""

import io
import logging
from pathlib import Path
from typing import Any
from weakref import proxy

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from typing_extensions import override

from sac_lightning.collect.experience import Experience
from sac_lightning.core.errors import names_path, require
from sac_lightning.core.files import DamagedFile, write_atomically
from sac_lightning.training.checkpoint import journal_manifest, read_checkpoint
from sac_lightning.training.loggers import MetricsCSV
from sac_lightning.training.loops import env_steps, fast_dev_run

log = logging.getLogger(__name__)


class BestCheckpoint(ModelCheckpoint):
    """`best.ckpt`: the epoch with the highest `eval/return_mean`."""

    def __init__(self, dirpath: str | Path) -> None:
        require(names_path(dirpath), "dirpath", dirpath, "must be the name of a folder")
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor="eval/return_mean",
            mode="max",
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _check_new(self, trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # An epoch that a stop cut short has no evaluation of its own; the resumed run completes it. Nor has a
        # run whose evaluation is off.
        if self.monitor in trainer.callback_metrics and not getattr(
            _datamodule(trainer), "epoch_cut_short", False
        ):
            super().on_train_epoch_end(trainer, pl_module)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Lightning forgets the best score when the run directory has moved.
        def here(path: str) -> str:
            return str(Path(self.dirpath or ".") / Path(path).name) if path else path

        moved = {key: here(path) for key, path in state_dict.items() if key.endswith("_path")}
        kept = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "dirpath": self.dirpath, "best_k_models": kept})


def _check_new(callback: ModelCheckpoint, trainer: Trainer) -> None:
    """Raise ConfigError where a fit that resumes nothing would replace the checkpoints of another run."""
    begins = trainer.ckpt_path is None and not env_steps(trainer)
    if begins and not fast_dev_run(trainer):
        folder = Path(callback.dirpath or ".")
        told = (
            "holds the checkpoints of a run: continue it with fit(..., ckpt_path=...), or name another folder"
        )
        require(not any(folder.glob("*.ckpt")), "dirpath", folder, told)
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCSV):
                told = "holds rows of another run: name another file"
                require(logger.is_empty, "path", logger.path, told)


class LastCheckpoint(ModelCheckpoint):
    """`last.ckpt`: before the first step and after each epoch, the warm-up's included.

    Give it to the Trainer after every other checkpoint callback: what they remember of an epoch is then in
    the `last.ckpt` of that epoch. It also prunes the replay journal.
    """

    def __init__(self, dirpath: str | Path) -> None:
        require(names_path(dirpath), "dirpath", dirpath, "must be the name of a folder")
        super().__init__(
            dirpath=dirpath,
            filename="last",
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self._manifests: dict[tuple[str, int, int], list[Any]] = {}

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _check_new(self, trainer)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.ckpt_path is None:
            self._save(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not the parent's: it saves nothing before the first gradient update.
        self._save(trainer)
        experience = getattr(_datamodule(trainer), "experience", None)
        if experience is not None and experience.journal is not None and experience.journal.has_spare:
            self._prune(experience)

    def _save(self, trainer: Trainer) -> None:
        if getattr(trainer, "fast_dev_run", False):
            return
        self.best_model_path = str(Path(self.dirpath or ".") / "last.ckpt")
        trainer.save_checkpoint(self.best_model_path)
        for logger in trainer.loggers:
            logger.after_save_checkpoint(proxy(self))

    def _prune(self, experience: Experience) -> None:
        try:
            kept = {_version(path): path for path in Path(self.dirpath or ".").glob("*.ckpt")}
            self._manifests = {
                version: self._manifests.get(version) or journal_manifest(read_checkpoint(path))
                for version, path in kept.items()
            }
        except DamagedFile as error:
            log.warning("the replay journal is not pruned, a checkpoint may need it: %s", error)
            return
        experience.prune(list(self._manifests.values()))


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but written to a temporary name, synced, renamed; read as data."""

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` to `path` in one step that either happens whole or not at all."""
        # By way of memory: where a disk is full, torch.save to a file says nothing of the disk.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), lambda temporary: temporary.write_bytes(content.getbuffer()))

    @override
    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; nothing in it is ever executed."""
        return read_checkpoint(Path(path))

    @override
    def remove_checkpoint(self, path: Any) -> None:
        """Remove one checkpoint file. Which one, a checkpoint that was resumed may say: never a folder."""
        file = Path(path)
        if ".." not in file.parts and file.suffix == ".ckpt" and file.is_file():
            file.unlink()


def _datamodule(trainer: Trainer) -> Any:
    return getattr(trainer, "datamodule", None)


def _version(path: Path) -> tuple[str, int, int]:
    """Changes whenever the file is replaced."""
    status = path.stat()
    return path.name, status.st_mtime_ns, status.st_ino
