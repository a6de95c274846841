"""Writes `last.ckpt` after every epoch and `best.ckpt` by evaluation; a crash leaves the old file whole."""

import io
import logging
from pathlib import Path
from typing import Annotated, Any
from weakref import proxy

import torch
from typing_extensions import override

from sac_lightning.core.checkpoint import journal_manifests, read_checkpoint
from sac_lightning.core.errors import require
from sac_lightning.core.fields import FOLDER, check_arguments
from sac_lightning.core.files import DamagedFile, write_atomically
from sac_lightning.replay import Journal
from sac_lightning.training.lightning_package import (
    LightningModule,
    ModelCheckpoint,
    TorchCheckpointIO,
    Trainer,
)
from sac_lightning.training.loggers import MetricsCSV
from sac_lightning.training.loops import datamodule, env_steps, fast_dev_run, was_cut_short

log = logging.getLogger(__name__)
ONE_FILE: Any = {"save_top_k": 1, "save_on_train_epoch_end": True, "enable_version_counter": False}


class _OneFile(ModelCheckpoint):
    """Saves one file in a folder of a run."""

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise ConfigError where a fit that resumes nothing would replace the files of another run."""
        if trainer.ckpt_path is not None or env_steps(trainer) or fast_dev_run(trainer):
            return
        folder = Path(self.dirpath or ".")
        advice = "continue it with fit(..., ckpt_path=...), or name another folder"
        allowed = f"contains the checkpoints of a run: {advice}"
        require(not any(folder.glob("*.ckpt")), "dirpath", folder, allowed)
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCSV):
                allowed = "contains rows of another run: name another file"
                require(logger.is_empty, "path", logger.path, allowed)


class BestCheckpoint(_OneFile):
    """Saves `best.ckpt`, the epoch with the highest `eval/return_mean`, in the folder `dirpath`."""

    @check_arguments()
    def __init__(self, dirpath: Annotated[str | Path, FOLDER]) -> None:
        super().__init__(dirpath, "best", monitor="eval/return_mean", mode="max", **ONE_FILE)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run without evaluations has no such metric. An epoch that a stop cut short has the metric of the
        # epoch before; the resumed run completes it.
        if self.monitor in trainer.callback_metrics and not was_cut_short(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Lightning forgets the best score when the run directory has moved.
        def here(path: str) -> str:
            return str(Path(self.dirpath or ".") / Path(path).name) if path else path

        moved = {key: here(path) for key, path in state_dict.items() if key.endswith("_path")}
        kept = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "dirpath": self.dirpath, "best_k_models": kept})


class LastCheckpoint(_OneFile):
    """Saves `last.ckpt` in the folder `dirpath` before the first step and after each epoch, warm-up included.

    Give it to the Trainer after every other checkpoint callback: the `last.ckpt` of an epoch then contains
    their state of that epoch. It also prunes the replay journal.
    """

    @check_arguments()
    def __init__(self, dirpath: Annotated[str | Path, FOLDER]) -> None:
        super().__init__(dirpath, "last", **ONE_FILE)
        self._manifests: dict[tuple[str, int, int], list[Any]] = {}

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.ckpt_path is None:
            self._save(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not the parent's: it saves nothing before the first gradient update.
        self._save(trainer)
        journal = getattr(getattr(datamodule(trainer), "experience", None), "journal", None)
        if journal is not None and journal.has_spare:
            self._prune(journal, trainer.global_rank)

    def _save(self, trainer: Trainer) -> None:
        if fast_dev_run(trainer):
            return
        self.best_model_path = str(Path(self.dirpath or ".") / "last.ckpt")
        trainer.save_checkpoint(self.best_model_path)
        for logger in trainer.loggers:
            logger.after_save_checkpoint(proxy(self))

    def _prune(self, journal: Journal, rank: int) -> None:
        """Remove the transitions that no checkpoint in the folder needs."""
        try:
            kept = {_version(path): path for path in Path(self.dirpath or ".").glob("*.ckpt")}
            self._manifests = {
                version: self._manifests.get(version) or journal_manifests(read_checkpoint(path))[rank]
                for version, path in kept.items()
            }
        except DamagedFile as error:
            log.warning("the replay journal is not pruned, a checkpoint may need it: %s", error)
            return
        journal.prune(list(self._manifests.values()))


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes Lightning's checkpoints under a temporary name, syncs and renames them; reads them as data."""

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        # First to memory: on a full disk, the error of torch.save does not mention the disk.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), lambda temporary: temporary.write_bytes(content.getbuffer()))

    @override
    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))

    @override
    def remove_checkpoint(self, path: Any) -> None:
        """Remove one checkpoint file, never a folder: `path` may come from a checkpoint that was resumed."""
        file = Path(path)
        if ".." not in file.parts and file.suffix == ".ckpt" and file.is_file():
            file.unlink()


def _version(path: Path) -> tuple[str, int, int]:
    """Return a key that changes whenever the file is replaced."""
    status = path.stat()
    return path.name, status.st_mtime_ns, status.st_ino
