"""What a W&B run records besides metrics: checkpoints as artifacts, histograms of weights and gradients."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sac_lightning.core.checkpoint import read_checkpoint
from sac_lightning.training.lightning_package import LightningModule, ModelCheckpoint

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)
HISTOGRAMS = ("gradients", "parameters", "all")
BINS = 64


class ModelArtifacts:
    """Logs the newest best and last checkpoint of a fit, each when it has changed."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}
        self._logged: dict[str, int] = {}

    def remember(self, callback: ModelCheckpoint) -> None:
        """Remember where `callback` has saved."""
        for alias, path in (("best", callback.best_model_path), ("last", callback.last_model_path)):
            if path:
                self._paths["last" if Path(path).stem == "last" else alias] = Path(path)

    def log_to(self, run: "wandb.Run") -> None:
        """Log what is new as `model-RUN_ID`, aliases `best` or `last` and `env_steps-N`; never raises."""
        for alias, path in sorted(self._paths.items()):  # so that `latest` is the last one
            try:
                changed = path.stat().st_mtime_ns
                if self._logged.get(alias) != changed:
                    _log_artifact(run, alias, path)
                    self._logged[alias] = changed
            except Exception as error:  # the file itself is safe in the run directory
                log.warning("W&B: %s could not be logged as an artifact: %s", path, error)


def _log_artifact(run: "wandb.Run", alias: str, path: Path) -> None:
    import wandb

    env_steps = int(read_checkpoint(path)["state_dict"]["sac.env_steps"])
    artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata={"env_steps": env_steps})
    # A copy: a run that is resumed replaces the file, maybe before an offline run is synced.
    artifact.add_file(str(path), name="model.ckpt", policy="mutable")
    run.log_artifact(artifact, aliases=[alias, f"env_steps-{env_steps}"])


def histograms(module: LightningModule, kind: str) -> dict[str, Any]:
    """Return W&B histograms of `module`, named `gradients/NAME` and `parameters/NAME`.

    A gradient is Adam's running mean of it (of about the last ten updates, clipped where the optimizer
    clips): updates keep no gradient of their own.

    Args:
        module: in a fit.
        kind: "gradients", "parameters" or "all".
    """
    named = module.named_parameters()
    names: dict[Tensor, str] = {parameter: name.removeprefix("sac.") for name, parameter in named}
    row: dict[str, Any] = {}
    if kind in ("parameters", "all"):
        row |= {f"parameters/{name}": each for each, name in names.items() if each.requires_grad}
    if kind in ("gradients", "all"):
        row |= {f"gradients/{names[each]}": mean for each, mean in _gradients(module)}
    return {key: histogram for key, each in row.items() if (histogram := _histogram(each)) is not None}


def _gradients(module: LightningModule) -> Iterator[tuple[Tensor, Tensor]]:
    optimizers: Any = module.optimizers(use_pl_optimizer=False)
    for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                if "exp_avg" in state and float(state["step"]) > 0:
                    bias = 1.0 - group["betas"][0] ** float(state["step"])
                    yield parameter, state["exp_avg"] / bias


@torch.no_grad()
def _histogram(values: Tensor) -> Any:
    """Return a W&B histogram, or None where no value is finite."""
    import wandb

    flat = values.detach().float().flatten()
    finite = flat[flat.isfinite()].cpu().numpy()
    return wandb.Histogram(np_histogram=np.histogram(finite, bins=BINS)) if finite.size else None
