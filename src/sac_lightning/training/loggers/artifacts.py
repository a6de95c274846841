"""Checkpoints as versions of a W&B artifact."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.callbacks import ModelCheckpoint

from sac_lightning.training.checkpoint import read_checkpoint

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)


class ModelArtifacts:
    """The newest best and last checkpoint of a fit, each logged once it has changed."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}
        self._logged: dict[str, int] = {}

    def remember(self, callback: ModelCheckpoint) -> None:
        """Note where `callback` has saved."""
        for alias, path in (("best", callback.best_model_path), ("last", callback.last_model_path)):
            if path:
                self._paths["last" if Path(path).stem == "last" else alias] = Path(path)

    def log_to(self, run: "wandb.Run") -> None:
        """Log what is new as `model-RUN_ID`, aliases `best` or `last` and `env_steps-N`; never raises."""
        for alias, path in sorted(self._paths.items()):  # so that `latest` is the last one
            try:
                changed = path.stat().st_mtime_ns
                if self._logged.get(alias) != changed:
                    _log(run, alias, path)
                    self._logged[alias] = changed
            except Exception as error:  # the file itself is safe in the run directory
                log.warning("W&B: %s could not be logged as an artifact: %s", path, error)


def _log(run: "wandb.Run", alias: str, path: Path) -> None:
    import wandb

    env_steps = int(read_checkpoint(path)["state_dict"]["sac.env_steps"])
    artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata={"env_steps": env_steps})
    # A copy: a run that is resumed replaces the file, maybe before an offline run is synced.
    artifact.add_file(str(path), name="model.ckpt", policy="mutable")
    run.log_artifact(artifact, aliases=[alias, f"env_steps-{env_steps}"])
