"""Rules for the target entropy H̄, in nats, measured in the unit action box.

Each rule is a frozen dataclass and a YAML file of conf/target_entropy. Its docstring has a fixed form, "Aims
at FORMULA [SOURCE]: USE.", then "Actions: ... Interval: ...": docs/tables.py writes the tables of README.md,
docs/entropy.md and `--help` from it. A is the number of continuous dimensions, n the number of discrete
choices (of joint ones, if there are several), H_max the largest entropy: log n, A log 2, or their sum.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from sac_lightning.core.errors import ConfigError, number
from sac_lightning.core.fields import Number
from sac_lightning.core.spec import Described
from sac_lightning.heads.base import ActionHead
from sac_lightning.heads.gaussian import HALF_LOG_2PI_E
from sac_lightning.types import Scalar

KEY = "target_entropy"
Memory = Float[Tensor, " M"]  # what a rule remembers


class TargetEntropyRule(Described):
    """H̄ as a function of the action head; a dynamic rule also says how H̄ changes.

    What such a rule remembers are tensors of the module, saved with the weights: the rule itself stays a
    pure function, in tensor operations alone, so that it may be part of a compiled update.
    """

    config_key: ClassVar[str] = KEY
    is_dynamic: ClassVar[bool] = False

    @classmethod
    @override
    def advice(cls, value: Any) -> str:
        shown = value if math.isfinite(number(value)) else -3
        return f"target_entropy=constant target_entropy.nats={shown}; in a program Constant({shown})"

    @abstractmethod
    def value(self, head: ActionHead) -> float:
        """H̄ at the first update, in nats. Raises ConfigError where the rule has no meaning for the head."""

    def bounds(self, head: ActionHead) -> dict[str, float]:
        """The values between which H̄ stays, by their config keys: each must be within the head's reach."""
        return {KEY: self.value(head)}

    def choice_part(self, head: ActionHead) -> float:
        """Nats of H̄ that are for the choices of a head with numbers, which action masks take a share of."""
        return 0.5 * math.log(head.num_discrete)

    def memory(self) -> tuple[float, ...]:
        """What `update` remembers, at the first update."""
        return ()

    def update(
        self, head: ActionHead, target: Scalar, memory: Memory, entropy: Scalar, env_steps: Int[Tensor, ""]
    ) -> tuple[Scalar, Memory]:
        """H̄ and memory of this update, from those before it and the policy's mean entropy now."""
        return target, memory

    def shifted(self, nats: float) -> Self:
        """This rule with the nats that a person gave it raised by `nats`; a formula stays as it is."""
        return self


@dataclass(frozen=True)
class NegDim(TargetEntropyRule):
    """Aims at −A [1812.05905, appendix D]: the usual choice of continuous control.

    Actions: continuous. Interval: one value.
    """

    def value(self, head: ActionHead) -> float:
        return -float(dims(head))


@dataclass(frozen=True)
class NegHalfDim(TargetEntropyRule):
    """Aims at −A/2 [jaxrl's default]: a policy that may stay softer.

    Actions: continuous. Interval: one value.
    """

    def value(self, head: ActionHead) -> float:
        return -0.5 * dims(head)


@dataclass(frozen=True)
class Zero(TargetEntropyRule):
    """Aims at 0 [this project]: where a careful policy avoids every risk and never reaches the goal.

    Actions: continuous. Interval: one value.

    A Gaussian of this entropy has σ = 0.24 in each dimension of the unit action box, of width 2.
    """

    def value(self, head: ActionHead) -> float:
        return 0.0


@dataclass(frozen=True)
class Sigma(TargetEntropyRule):
    """Aims at A · ½ log(2πe σ²) [entropy of a Gaussian]: sets how much noise an action may have.

    Actions: continuous. Interval: the head's, σ above 0.
    """

    sigma: Annotated[float, Number("(0, inf)")] = 0.15

    def value(self, head: ActionHead) -> float:
        if head.num_discrete > 1:
            other = "per_part" if head.num_continuous else "eps_peaked or max_ratio"
            allowed = f"is for continuous actions; the {type(head).__name__} head makes choices: use {other}"
            raise ConfigError(KEY, "sigma", allowed)
        return dims(head) * (HALF_LOG_2PI_E + math.log(self.sigma))


@dataclass(frozen=True)
class MaxRatio(TargetEntropyRule):
    """Aims at ratio · H_max [1910.07207]: for discrete actions, with ratio 0.5.

    Actions: all. Interval: (0, H_max].

    The classic 0.98 leaves the best of two actions a probability of 0.58: docs/entropy.md shows where
    that drives α up without end.
    """

    ratio: Annotated[float, Number("(0, 1]")] = 0.98

    def value(self, head: ActionHead) -> float:
        return self.ratio * head.entropy_interval.high


@dataclass(frozen=True)
class MaxEntropy(TargetEntropyRule):
    """Aims at H_max [the upper bound]: only the uniform policy has it, so that α grows without end.

    Actions: all. Interval: one value.
    """

    def value(self, head: ActionHead) -> float:
        return head.entropy_interval.high


@dataclass(frozen=True)
class EpsPeaked(TargetEntropyRule):
    """Aims at −p log p − (n−1)(ε/n) log(ε/n), p = 1 − ε + ε/n [ε-greedy]: explores as ε-greedy does.

    Actions: discrete. Interval: (0, log n].
    """

    eps: Annotated[float, Number("(0, 1]")] = 0.1

    def value(self, head: ActionHead) -> float:
        n = head.num_discrete
        if head.num_continuous:
            other = "neg_dim" if n == 1 else "per_part"
            allowed = f"is for choices alone; the {type(head).__name__} head gives numbers: use {other}"
            raise ConfigError(KEY, "eps_peaked", allowed)
        peak, rest = 1.0 - self.eps + self.eps / n, self.eps / n
        return -peak * math.log(peak) - (n - 1) * rest * math.log(rest)


@dataclass(frozen=True)
class PerPart(TargetEntropyRule):
    """Aims at ratio · log n − A [max_ratio and neg_dim, added]: for the hybrid head.

    Actions: hybrid. Interval: [−A, log n − A].
    """

    ratio: Annotated[float, Number("(0, 1]")] = 0.5

    def value(self, head: ActionHead) -> float:
        return self.choice_part(head) - head.num_continuous

    def choice_part(self, head: ActionHead) -> float:
        return self.ratio * math.log(head.num_discrete)


@dataclass(frozen=True)
class Constant(TargetEntropyRule):
    """Aims at `nats` [definition]: a value known from another run.

    Actions: all. Interval: the head's.
    """

    nats: Annotated[float, Number(unit="nats")]

    def value(self, head: ActionHead) -> float:
        return self.nats

    def shifted(self, nats: float) -> Self:
        return replace(self, nats=self.nats + nats)


@dataclass(frozen=True)
class HeadDefault(TargetEntropyRule):
    """Aims at the target of neg_dim, max_ratio 0.5 or per_part 0.5, by the head [this project]: start here.

    Actions: all. Interval: one value.

    NegDim is for boxes, MaxRatio for discrete actions, PerPart for both at once. The discrete default was
    measured against others: docs/entropy.md has the table.
    """

    def rule(self, head: ActionHead) -> TargetEntropyRule:
        """The rule chosen for `head`."""
        if head.num_discrete == 1:
            return NegDim()
        return PerPart(0.5) if head.num_continuous else MaxRatio(0.5)

    def value(self, head: ActionHead) -> float:
        return self.rule(head).value(head)


def dims(head: ActionHead) -> int:
    """The dim(A) of rules of continuous control: of the numbers, where an action has some."""
    return head.num_continuous or head.action_size
