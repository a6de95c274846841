"""What an optimizer of this framework is told: one of these for the critic, the actor and log_alpha each."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler

from sac_lightning.errors import ConfigError, number, require
from sac_lightning.spec import Described

LARGEST_NORM = 1e9  # one that would be reached clips nothing
SCHEDULES = ("linear", "cosine")


@dataclass(frozen=True, kw_only=True)
class Optimized(Described):
    """Mixin: Adam with its learning rate, an optional schedule and an optional clip of the gradient's norm.

    lr_schedule `linear` and `cosine` end at `lr_final_ratio · lr` with the last epoch of the run.
    """

    lr: float = 3e-4
    adam_eps: float = 1e-8
    max_grad_norm: float | None = None
    lr_schedule: str | None = None
    lr_final_ratio: float = 0.0

    def __post_init__(self) -> None:
        require(0.0 < number(self.lr) < 1.0, "lr", self.lr, "must be a number in (0, 1)")
        require(0.0 < number(self.adam_eps) < 1.0, "adam_eps", self.adam_eps, "must be a number in (0, 1)")
        clip = self.max_grad_norm
        require(
            clip is None or 0.0 < number(clip) <= LARGEST_NORM,
            "max_grad_norm",
            clip,
            f"must be a number above 0 and at most {LARGEST_NORM:g}, or null for no clipping",
        )
        if self.lr_schedule is not None and self.lr_schedule not in SCHEDULES:
            raise ConfigError("lr_schedule", self.lr_schedule, f"one of {', '.join(SCHEDULES)}, or null")
        require(
            0.0 <= number(self.lr_final_ratio) <= 1.0,
            "lr_final_ratio",
            self.lr_final_ratio,
            "must be a number in [0, 1]",
        )

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> Adam:
        """Adam over `parameters`, in its fused form."""
        return Adam(parameters, lr=self.lr, eps=self.adam_eps, fused=True)

    def scheduler(self, optimizer: torch.optim.Optimizer, epochs: int) -> LRScheduler | None:
        """The schedule, stepped once an epoch, or None."""
        if self.lr_schedule == "linear":
            return LinearLR(optimizer, 1.0, max(self.lr_final_ratio, 1e-8), total_iters=max(1, epochs))
        if self.lr_schedule == "cosine":
            return CosineAnnealingLR(optimizer, T_max=max(1, epochs), eta_min=self.lr_final_ratio * self.lr)
        return None


def step_schedules(schedulers: Any) -> None:
    """Move all schedules by one epoch: a list of them, one, or None, as Lightning hands them out."""
    with warnings.catch_warnings():
        # An epoch of warm-up alone has no optimizer step, which PyTorch warns of.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            if scheduler is not None:
                scheduler.step()
