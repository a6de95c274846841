"""A target-entropy rule of your own."""

import math
from dataclasses import dataclass

from sac_lightning.core.errors import ConfigError, number, require
from sac_lightning.entropy import TargetEntropyRule
from sac_lightning.heads import ActionHead


@dataclass(frozen=True)
class Width(TargetEntropyRule):
    """The entropy of actions that are uniform on `share` of each dimension's range: A · log(2 · share)."""

    share: float = 0.1

    def __post_init__(self) -> None:
        ok = 0.0 < number(self.share) <= 1.0
        require(ok, "target_entropy.share", self.share, "must be a number in (0, 1]")

    def value(self, head: ActionHead) -> float:
        """H̄ in nats of the unit action box [−1, 1]^A."""
        if head.num_discrete > 1:
            raise ConfigError("target_entropy", "width", "is for boxes")
        return head.num_continuous * math.log(2.0 * self.share)
