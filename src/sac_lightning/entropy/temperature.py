"""Rules for the temperature α: how much one nat of entropy is worth in units of reward.

Each rule is a frozen dataclass and a YAML file of conf/alpha. A rule owns no tensor: the module keeps
`log_alpha`, so that a rule stays a pure function and its state is saved with everything else.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sac_lightning.entropy.target_entropy import HeadDefault, TargetEntropyRule
from sac_lightning.errors import ConfigError, number, require, whole
from sac_lightning.losses import LossForm
from sac_lightning.optim import Optimized
from sac_lightning.spec import Described
from sac_lightning.types import Scalar

SHAPES = ("exponential", "linear", "cosine")


class TemperatureRule(Described):
    """How α comes about."""

    learned: ClassVar[bool] = False

    @property
    @abstractmethod
    def initial(self) -> float:
        """α at the first update."""

    @abstractmethod
    def alpha(self, log_alpha: Scalar, env_steps: int) -> Scalar:
        """α now, detached: the constant of the critic's and the actor's loss."""


@dataclass(frozen=True)
class Fixed(TemperatureRule):
    """α = value. With value 0 nothing is left of "soft": a plain stochastic actor-critic."""

    value: float = 0.2

    def __post_init__(self) -> None:
        require(
            0.0 <= number(self.value) < math.inf, "alpha.value", self.value, "must be a number of at least 0"
        )

    @property
    def initial(self) -> float:
        return self.value

    def alpha(self, log_alpha: Scalar, env_steps: int) -> Scalar:
        return torch.full_like(log_alpha, self.value)


@dataclass(frozen=True)
class Anneal(TemperatureRule):
    """α from `start` to `end` over the first `steps` env steps, then constant.

    With f = min(1, env_steps / steps):
    exponential start·(end/start)^f, linear start + (end − start)·f, cosine end + (start − end)·½(1 + cos πf).
    """

    start: float = 1.0
    end: float = 0.01
    steps: int = 100_000
    shape: str = "exponential"

    def __post_init__(self) -> None:
        require(str(self.shape) in SHAPES, "alpha.shape", self.shape, f"must be one of {', '.join(SHAPES)}")
        least_told = "above 0" if self.shape == "exponential" else "of at least 0"
        for key, value in (("alpha.start", self.start), ("alpha.end", self.end)):
            ok = 0.0 < number(value) < math.inf or (value == 0.0 and self.shape != "exponential")
            require(ok, key, value, f"must be a number {least_told} for the {self.shape} shape")
        require(
            whole(self.steps) >= 1,
            "alpha.steps",
            self.steps,
            "must be a whole number of env steps of at least 1",
        )

    @property
    def initial(self) -> float:
        return self.start

    def at(self, env_steps: int) -> float:
        """α after `env_steps`."""
        f = min(1.0, env_steps / self.steps)
        if self.shape == "exponential":
            return self.start * math.pow(self.end / self.start, f)
        if self.shape == "linear":
            return self.start + (self.end - self.start) * f
        return self.end + (self.start - self.end) * 0.5 * (1.0 + math.cos(math.pi * f))

    def alpha(self, log_alpha: Scalar, env_steps: int) -> Scalar:
        return torch.full_like(log_alpha, self.at(env_steps))


@dataclass(frozen=True, kw_only=True)
class Auto(Optimized, TemperatureRule):
    """α = exp(log_alpha), learned so that the policy's entropy settles on H̄     (1812.05905 section 5).

    Entropy below target raises α, above it lowers α: `losses.alpha_loss`. `min` and `max` keep α within
    limits by projecting log_alpha back after each step, so that it can always return from a limit.
    """

    learned: ClassVar[bool] = True
    init: float = 1.0
    min: float = 0.0
    max: float | None = None
    loss_form: LossForm = "log_alpha"
    target_entropy: TargetEntropyRule = HeadDefault()

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ConfigError as error:
            raise error.under("alpha") from None
        top = math.inf if self.max is None else number(self.max)
        require(0.0 <= number(self.min) < math.inf, "alpha.min", self.min, "must be a number of at least 0")
        require(
            top > self.min, "alpha.max", self.max, f"must be a number above alpha.min={self.min}, or null"
        )
        ok = 0.0 < number(self.init) < math.inf and self.min <= self.init <= top
        require(
            ok,
            "alpha.init",
            self.init,
            f"must be a number above 0 within [alpha.min, alpha.max]=[{self.min}, {top}]",
        )
        require(
            self.loss_form in ("log_alpha", "alpha"), "alpha.loss_form", self.loss_form, "log_alpha or alpha"
        )

    @property
    def initial(self) -> float:
        return self.init

    def alpha(self, log_alpha: Scalar, env_steps: int) -> Scalar:
        return log_alpha.detach().exp()

    def project_(self, log_alpha: Tensor) -> None:
        """Move log_alpha into [log min, log max] in place."""
        if self.min > 0.0 or self.max is not None:
            low = math.log(self.min) if self.min > 0.0 else -math.inf
            log_alpha.clamp_(low, math.inf if self.max is None else math.log(self.max))
