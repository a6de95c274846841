"""`last.ckpt` after every epoch, `best.ckpt` by evaluation; a crash leaves the old file whole."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from typing_extensions import override

from sac_lightning.checkpoint import read_checkpoint
from sac_lightning.files import write_atomically


class LastCheckpoint(ModelCheckpoint):
    """`last.ckpt`: after each epoch, and before the first step for a run that fails early."""

    def __init__(self, dirpath: str | Path) -> None:
        super().__init__(
            dirpath=dirpath,
            filename="last",
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        path = Path(self.dirpath or ".") / "last.ckpt"
        if not path.exists():
            trainer.save_checkpoint(path)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        collection = getattr(getattr(trainer, "datamodule", None), "collection", None)
        if collection is not None and collection.journal is not None and collection.journal.has_spare:
            collection.prune([_manifest(path) for path in Path(self.dirpath or ".").glob("*.ckpt")])


def _manifest(path: Path) -> list[Any]:
    content = read_checkpoint(path)
    states = [value for value in content.values() if isinstance(value, dict) and "journal" in value]
    return states[0]["journal"] or [] if states else []


class BestCheckpoint(ModelCheckpoint):
    """`best.ckpt`: the epoch with the highest `eval/return_mean`."""

    def __init__(self, dirpath: str | Path) -> None:
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor="eval/return_mean",
            mode="max",
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but written to a temporary name, synced, renamed; read as data."""

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` to `path` in one step that either happens whole or not at all."""
        write_atomically(Path(path), lambda temporary: torch.save(checkpoint, temporary))

    @override
    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; nothing in it is ever executed."""
        return read_checkpoint(Path(path))
