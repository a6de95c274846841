"""Lightning's classes: of `lightning.pytorch` where a program has imported that, else of `pytorch_lightning`.

Both packages have the same content, but the Trainer of one takes no module of the other. So whichever the
program has imported before this package is the one that ours are made of.
"""

import sys
from typing import TYPE_CHECKING

OTHER = "lightning.pytorch"
USES_OTHER = OTHER in sys.modules and "pytorch_lightning" not in sys.modules

if TYPE_CHECKING or not USES_OTHER:
    from lightning_fabric.loggers.logger import rank_zero_experiment
    from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
    from lightning_fabric.utilities.rank_zero import rank_zero_only
    from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
    from pytorch_lightning.callbacks import ModelCheckpoint, ProgressBar
    from pytorch_lightning.loggers import WandbLogger
    from pytorch_lightning.loggers.logger import Logger
    from pytorch_lightning.strategies import DDPStrategy
else:
    from lightning.fabric.loggers.logger import rank_zero_experiment
    from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
    from lightning.fabric.utilities.rank_zero import rank_zero_only
    from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
    from lightning.pytorch.loggers import WandbLogger
    from lightning.pytorch.loggers.logger import Logger
    from lightning.pytorch.strategies import DDPStrategy

__all__ = [
    "Callback",
    "DDPStrategy",
    "LightningDataModule",
    "LightningModule",
    "Logger",
    "ModelCheckpoint",
    "ProgressBar",
    "TorchCheckpointIO",
    "Trainer",
    "WandbLogger",
    "rank_zero_experiment",
    "rank_zero_only",
]
