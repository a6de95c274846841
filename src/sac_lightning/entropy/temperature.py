"""Rules for the temperature α: how much one nat of entropy is worth in units of reward.

Each rule is a frozen dataclass and a YAML file of conf/alpha. Its docstring has a fixed form, "Sets α to
FORMULA [SOURCE]: USE.", then "Interval: ...": docs/tables.py writes the tables of README.md, docs/entropy.md
and `--help` from it. A rule owns no tensor: the module keeps
`log_alpha`, so that a rule stays a pure function and its state is saved with everything else.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Int
from torch import Tensor
from typing_extensions import override

from sac_lightning.algorithm import losses
from sac_lightning.algorithm.losses import LossForm
from sac_lightning.core.errors import number, require
from sac_lightning.core.fields import Number, Whole
from sac_lightning.core.spec import Described
from sac_lightning.entropy.shape import Shape, progress, remainder
from sac_lightning.entropy.target_entropy import HeadDefault, TargetEntropyRule
from sac_lightning.heads.base import ActionHead
from sac_lightning.optim import Adam, LearningRate
from sac_lightning.types import Alpha, Scalar

CriticAlpha = Literal["same", "fixed", "none"]
Units = Literal["unit_box", "env"]
# Far beyond what any reward asks for, far below what overflows in float32.
LARGEST = 1e9


@dataclass(frozen=True, kw_only=True)
class TemperatureRule(Described):
    """How α comes about, what the critics' backup takes of it, and in which units entropies are.

    `critic`: the backup takes the `same` α, a `fixed` one (`critic_value`), or `none`: no entropy bonus,
    so that Q estimates the return alone while the actor stays soft. `units`: nats of a config and of the
    log are measured in the `unit_box` or in the `env`'s units; α itself does not depend on it.
    """

    config_key: ClassVar[str] = "alpha"
    learned: ClassVar[bool] = False
    critic: CriticAlpha = "same"
    critic_value: Annotated[float | None, Number("[0, 1e9]")] = None
    units: Units = "unit_box"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.critic == "fixed":
            allowed = "must be a number in [0, 1e9] for alpha.critic=fixed"
        else:
            allowed = f"is for alpha.critic=fixed; alpha.critic={self.critic} takes null"
        ok = (self.critic_value is not None) == (self.critic == "fixed")
        require(ok, "alpha.critic_value", self.critic_value, allowed)

    @classmethod
    @override
    def advice(cls, value: Any) -> str:
        if value == "auto":
            return "alpha=auto; in a program LearnedTemperature()"
        shown = value if number(value) >= 0.0 else 0.2
        return f"alpha=fixed alpha.value={shown}; in a program Fixed({shown})"

    @property
    @abstractmethod
    def initial(self) -> float:
        """α at the first update."""

    @abstractmethod
    def alpha(self, log_alpha: Alpha, env_steps: Int[Tensor, ""]) -> Alpha:
        """α now, detached: the constant of the actor's loss."""

    def critic_alpha(self, alpha: Alpha) -> Alpha:
        """The α of the critics' backup, where the actor's is `alpha`."""
        if self.critic == "same":
            return alpha
        return torch.full_like(alpha, self.critic_value or 0.0)

    def log_alpha_shape(self, head: ActionHead) -> tuple[int, ...]:
        """Returns the shape of log α. Raises ConfigError where the head cannot have it."""
        return ()

    @property
    def target_rule(self) -> TargetEntropyRule | None:
        """The rule for the target entropy; None where α is not learned."""
        return None

    def loss(self, log_alpha: Alpha, entropy: Alpha, target_entropy: Scalar) -> Scalar:
        """Returns the loss that a learned temperature descends; only `learned` rules have one."""
        raise TypeError(f"{type(self).__name__} has no loss: its temperature is not learned")

    def project_(self, log_alpha: Tensor) -> None:
        """Moves log_alpha back into its limits in place, after each update."""


@dataclass(frozen=True)
class Fixed(TemperatureRule):
    """Sets α to `value` [1801.01290]: for a known reward scale, or to study the effect of α.

    Interval: one value, at least 0. With 0 the algorithm is a plain stochastic actor-critic, no longer soft.
    """

    value: Annotated[float, Number("[0, 1e9]")] = 0.2

    @property
    def initial(self) -> float:
        return self.value

    def alpha(self, log_alpha: Alpha, env_steps: Int[Tensor, ""]) -> Alpha:
        return torch.full_like(log_alpha, self.value)


@dataclass(frozen=True)
class Anneal(TemperatureRule):
    """Sets α from `start` to `end` over `steps` env steps [common practice]: explores first, needs no target.

    Interval: between `start` and `end`.

    With f = min(1, env_steps / steps):
    exponential start·(end/start)^f, linear end + (start − end)·(1 − f),
    cosine end + (start − end)·½(1 + cos πf).
    """

    start: Annotated[float, Number("[0, 1e9]")] = 1.0
    end: Annotated[float, Number("[0, 1e9]")] = 0.01
    steps: Annotated[int, Whole("[1, inf)", "env steps")] = 100_000
    shape: Shape = "exponential"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("start", "end"):
            ok = getattr(self, key) > 0.0 or self.shape != "exponential"
            allowed = "must be a number above 0 for the exponential shape"
            require(ok, f"alpha.{key}", getattr(self, key), allowed)

    @property
    def initial(self) -> float:
        return self.start

    def alpha(self, log_alpha: Alpha, env_steps: Int[Tensor, ""]) -> Alpha:
        f = progress(env_steps, self.steps)
        if self.shape == "exponential":  # of a ratio: α has no sign to cross
            return self.start * torch.pow(self.end / self.start, f)
        return self.end + (self.start - self.end) * remainder(f, self.shape)


@dataclass(frozen=True, kw_only=True)
class LearnedTemperature(TemperatureRule):
    """Sets α to exp(log_alpha), learned [1812.05905, eq. 18]: the default, settles the entropy on its target.

    Interval: [`min`, `max`].

    Entropy below target raises α, above it lowers α: `losses.alpha_loss`. To learn α by another loss,
    subclass this and override `loss`.

    Args:
        init: α at the first update, above 0.
        min, max: limits of α; log_alpha is moved back after each step, so it can always return from one.
        loss_form: log_alpha, or alpha as in the paper.
        per_dim: learns one α for each action dimension, each aiming at H̄/A; the bonus of the losses is then
            −Σ_d α_d log π_d(a_d|s).
        target_entropy: the rule for H̄.
        lr: learning rate of log_alpha, in (0, 1).
        optimizer: what takes the steps.
    """

    learned: ClassVar[bool] = True
    init: Annotated[float, Number("(0, 1e9]")] = 1.0
    min: Annotated[float, Number("[0, 1e9)")] = 0.0
    max: Annotated[float | None, Number("(0, 1e9]")] = None
    loss_form: LossForm = "log_alpha"
    per_dim: bool = False
    target_entropy: TargetEntropyRule = HeadDefault()
    lr: LearningRate = 3e-4
    optimizer: Adam = field(default_factory=Adam)

    def __post_init__(self) -> None:
        super().__post_init__()
        top = LARGEST if self.max is None else self.max
        allowed = f"must be a number above alpha.min={self.min}, or null"
        require(self.min < top, "alpha.max", self.max, allowed)
        allowed = f"must be a number within [alpha.min, alpha.max]=[{self.min:g}, {top:g}]"
        require(self.min <= self.init <= top, "alpha.init", self.init, allowed)

    @property
    def initial(self) -> float:
        return self.init

    def alpha(self, log_alpha: Alpha, env_steps: Int[Tensor, ""]) -> Alpha:
        return log_alpha.detach().exp()

    @property
    def target_rule(self) -> TargetEntropyRule:
        return self.target_entropy

    def loss(self, log_alpha: Alpha, entropy: Alpha, target_entropy: Scalar) -> Scalar:
        return losses.alpha_loss(log_alpha, entropy, target_entropy, self.loss_form)

    def log_alpha_shape(self, head: ActionHead) -> tuple[int, ...]:
        if not self.per_dim:
            return ()
        needed = "needs independent action dimensions, as tanh_normal and normal have"
        allowed = f"{needed}; this is {head.name()}"
        require(head.has_independent_dims, "alpha.per_dim", self.per_dim, allowed)
        return (head.num_continuous,)

    def project_(self, log_alpha: Tensor) -> None:
        if self.min > 0.0 or self.max is not None:
            low = math.log(self.min) if self.min > 0.0 else -math.inf
            log_alpha.clamp_(low, math.inf if self.max is None else math.log(self.max))
