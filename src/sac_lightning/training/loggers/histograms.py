"""Histograms of a module's weights and gradients, for W&B."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor

HISTOGRAMS = ("gradients", "parameters", "all")
BINS = 64


def histograms(module: LightningModule, kind: str) -> dict[str, Any]:
    """W&B histograms of `module`, by `gradients/NAME` and `parameters/NAME`, as `kind` asks for.

    A gradient is Adam's running mean of it (of about the last ten updates, clipped where the optimizer
    clips): updates keep no gradient of their own.
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
    """None where no value is finite."""
    import wandb

    flat = values.detach().float().flatten()
    finite = flat[flat.isfinite()].cpu().numpy()
    return wandb.Histogram(np_histogram=np.histogram(finite, bins=BINS)) if finite.size else None
