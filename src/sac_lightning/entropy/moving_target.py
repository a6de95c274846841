"""Rules whose target entropy changes while a run goes on: by the clock, or by what the entropy does."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

import torch
from jaxtyping import Int
from torch import Tensor

from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.fields import Number, Whole
from sac_lightning.entropy.shape import Shape, progress, remainder
from sac_lightning.entropy.target_entropy import KEY, Memory, TargetEntropyRule, dims
from sac_lightning.heads.base import ActionHead
from sac_lightning.types import Scalar


@dataclass(frozen=True)
class Schedule(TargetEntropyRule):
    """Aims at end + (start − end) · w(env_steps / steps) [this project]: explores first, by the clock.

    Actions: all. Interval: between `start` and `end`.

    `shape` chooses w, which falls from 1 to 0: linear, cosine or exponential (`remainder`). All shapes are
    differences of nats, so they cross zero and keep their course in other units.
    """

    is_dynamic: ClassVar[bool] = True
    start: Annotated[float, Number(unit="nats")]
    end: Annotated[float, Number(unit="nats")]
    steps: Annotated[int, Whole("[1, inf)", "env steps")] = 100_000
    shape: Shape = "linear"

    def value(self, head: ActionHead) -> float:
        return self.start

    def bounds(self, head: ActionHead) -> dict[str, float]:
        return {f"{KEY}.start": self.start, f"{KEY}.end": self.end}

    def update(
        self, head: ActionHead, target: Scalar, memory: Memory, entropy: Scalar, env_steps: Int[Tensor, ""]
    ) -> tuple[Scalar, Memory]:
        left = remainder(progress(env_steps, self.steps), self.shape)
        return self.end + (self.start - self.end) * left, memory

    def shifted(self, nats: float) -> Self:
        return replace(self, start=self.start + nats, end=self.end + nats)


@dataclass(frozen=True)
class Tes(TargetEntropyRule):
    """Aims at `start`, times `factor` once the entropy has settled [2112.02852]: explores as long as needed.

    Actions: all. Interval: from `floor` (null: 0, continuous −A) to `start` (null: discrete 0.98 · log n).

    Settled: the running mean of the policy's entropy is within `mean_within` nats of H̄, its running
    deviation at most `deviation`, and both have seen at least `patience` updates of this H̄. They are means
    with weight max(1 − decay, 1/t) for the t-th update and start again with each H̄.

    Deviations: entropies are means over a mini-batch, not of single states. For continuous actions, where
    a product would raise a negative target, H̄ ← H̄ + A·log factor: each dimension keeps that
    factor of its effective width exp(H/A). `floor` ends the descent: null is −A there, none otherwise.
    """

    is_dynamic: ClassVar[bool] = True
    start: Annotated[float | None, Number(unit="nats")] = None
    factor: Annotated[float, Number("(0, 1)")] = 0.9
    floor: Annotated[float | None, Number(unit="nats")] = None
    decay: Annotated[float, Number("(0, 1)")] = 0.999
    # In a wider window every entropy would count as settled.
    mean_within: Annotated[float, Number("(0, 1e6]", "nats")] = 0.01
    deviation: Annotated[float, Number("(0, 1e6]", "nats")] = 0.05
    patience: Annotated[int, Whole("[1, inf)", "updates")] = 1000

    def value(self, head: ActionHead) -> float:
        if self.start is not None:
            return self.start
        if not _never_negative(head):
            allowed = (
                "continuous actions have no usual start: give nats, e.g. 0, from which the target descends"
            )
            raise ConfigError(f"{KEY}.start", None, allowed)
        return 0.98 * head.entropy_interval.high

    def bounds(self, head: ActionHead) -> dict[str, float]:
        start, lowest = self.value(head), self._lowest(head)
        if lowest is None:
            return {f"{KEY}.start": start}
        require(lowest < start, f"{KEY}.floor", f"{lowest:.4g}", f"must be below the start, {start:.4g}")
        return {f"{KEY}.start": start, f"{KEY}.floor": lowest}

    def memory(self) -> tuple[float, ...]:
        return 0.0, 0.0, 0.0  # mean, variance, updates seen

    def update(
        self, head: ActionHead, target: Scalar, memory: Memory, entropy: Scalar, env_steps: Int[Tensor, ""]
    ) -> tuple[Scalar, Memory]:
        mean, variance, seen = memory.unbind()
        seen = (seen + 1.0).clamp(max=1e7)  # beyond it float32 would no longer count
        weight = seen.reciprocal().clamp(min=1.0 - self.decay)
        away = entropy - mean
        mean = mean + weight * away
        variance = (1.0 - weight) * (variance + weight * away.square())
        near = (mean - target).abs() <= self.mean_within
        settled = near & (variance <= self.deviation**2) & (seen >= self.patience)
        target = torch.where(settled, self._lowered(head, target), target)
        return target, torch.where(settled, 0.0, torch.stack((mean, variance, seen)))

    def shifted(self, nats: float) -> Self:
        start, floor = (None if value is None else value + nats for value in (self.start, self.floor))
        return replace(self, start=start, floor=floor)

    def _lowered(self, head: ActionHead, target: Scalar) -> Scalar:
        if _never_negative(head):
            lowered = target * self.factor
        else:
            lowered = target + dims(head) * math.log(self.factor)
        lowest = self._lowest(head)
        return lowered if lowest is None else lowered.clamp(min=lowest)

    def _lowest(self, head: ActionHead) -> float | None:
        if self.floor is None and not _never_negative(head):
            return -float(dims(head))
        return self.floor


def _never_negative(head: ActionHead) -> bool:
    """Whether entropies are those of choices, of which a share makes sense."""
    return head.entropy_interval.low >= 0.0
