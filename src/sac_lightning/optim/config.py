"""Optimizers and learning-rate schedules as configs."""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from sac_lightning.core.fields import ListOf, Number, OneOf
from sac_lightning.core.spec import Described

LearningRate = Annotated[float, Number("(0, 1)")]


def step_schedules(schedulers: Iterable[LRScheduler]) -> None:
    """Moves all schedules by one update."""
    with warnings.catch_warnings():
        # Optimizers step without `optimizer.step()`, which PyTorch's schedules look for.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for scheduler in schedulers:
            scheduler.step()


@dataclass(frozen=True, kw_only=True)
class Adam(Described):
    """Adam (1412.6980) with an optional learning-rate schedule and an optional clip of the gradient's norm.

    The learning rate is that of the network (or temperature) that the optimizer steps.

    Args:
        betas: decay of the mean and of the squared gradient, each in [0, 1).
        eps: added to the root of the squared gradient, in (0, 1).
        max_grad_norm: the gradient's norm is scaled down to at most this; None for no clipping.
        lr_schedule: linear or cosine, from the learning rate down to lr_final_ratio of it with the last
            update of the run; None for a constant rate.
        lr_final_ratio: in [0, 1].
    """

    config_key: ClassVar[str] = "optimizer"
    betas: Annotated[Sequence[float], ListOf(Number("[0, 1)"), length=2)] = (0.9, 0.999)
    eps: Annotated[float, Number("(0, 1)")] = 1e-8
    max_grad_norm: Annotated[float | None, Number("(0, 1e9]")] = None  # a clip that no gradient reaches
    lr_schedule: Annotated[str | None, OneOf(("linear", "cosine"))] = None
    lr_final_ratio: Annotated[float, Number("[0, 1]")] = 0.0

    @classmethod
    def advice(cls, value: Any) -> str:
        """What to write for `value`, which is no optimizer."""
        return "Adam(), AdamW()"

    @property
    def decay(self) -> float:
        """Decoupled weight decay; Adam has none."""
        return 0.0

    def build(self, parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Adam:
        """Returns PyTorch's optimizer over `parameters`."""
        beta_1, beta_2 = self.betas
        return torch.optim.Adam(parameters, lr=lr, betas=(beta_1, beta_2), eps=self.eps, fused=True)

    def schedule(self, optimizer: torch.optim.Optimizer, updates: int) -> LambdaLR | None:
        """Returns the schedule over `updates` gradient updates, or None for a constant rate."""
        if self.lr_schedule is None:
            return None
        final, cosine, last = self.lr_final_ratio, self.lr_schedule == "cosine", max(1, updates)

        def factor(update: int) -> float:
            done = min(1.0, update / last)
            left = 0.5 * (1.0 + math.cos(math.pi * done)) if cosine else 1.0 - done
            return final + (1.0 - final) * left

        return LambdaLR(optimizer, factor)


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay     (1711.05101)

    Args:
        weight_decay: each update first scales the weights by 1 − lr · weight_decay; in [0, 1].
        betas, eps, max_grad_norm, lr_schedule, lr_final_ratio: as for Adam.
    """

    weight_decay: Annotated[float, Number("[0, 1]")] = 0.01

    @property
    def decay(self) -> float:
        return self.weight_decay

    def build(self, parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Adam:
        beta_1, beta_2 = self.betas
        return torch.optim.AdamW(
            parameters,
            lr=lr,
            betas=(beta_1, beta_2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=True,
        )
