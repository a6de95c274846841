"""Whether any policy of a head can have the target entropy: if none can, α runs away."""

import math

from sac_lightning.core.errors import ConfigError
from sac_lightning.entropy.target_entropy import KEY, TargetEntropyRule
from sac_lightning.heads.base import ActionHead

NEAR = 0.02  # of the interval's width: where α is still finite but far larger or smaller than usual
SLACK = 1e-9


def check_rule(rule: TargetEntropyRule, head: ActionHead, offset: float = 0.0) -> str | None:
    """As `check_reachable`, for every value between which the rule keeps H̄.

    The start of a rule that leaves it again gives no warning. `offset` is what messages add to an entropy
    of the unit box: they speak the config's units.
    """
    ends = rule.bounds(head)
    warnings = [check_reachable(value, head, key, offset) for key, value in ends.items()]
    return warnings[-1] if not rule.is_dynamic or len(ends) > 1 else None


def check_reachable(target: float, head: ActionHead, key: str = KEY, offset: float = 0.0) -> str | None:
    """None if `target` lies well within the head's attainable entropies, else a warning to tell.

    The upper end itself is reached by the uniform policy alone, the lower end by none.
    Raises ConfigError, naming the interval, when no policy of this head has that entropy.
    """
    low, high = head.entropy_interval.low, head.entropy_interval.high
    told = f"({low + offset:.4g}, {high + offset:.4g}]"
    if not low < target <= high + SLACK:
        effect = "α would fall to 0" if target <= low else "α would grow without end"
        raise ConfigError(
            key,
            f"{target + offset:.4g}",
            f"no policy of the {type(head).__name__} head has that entropy ({effect}); allowed: {told} nats",
        )
    width = high - low if math.isfinite(high - low) else abs(high)
    if high - target <= NEAR * width + SLACK:
        return (
            f"{key}={target + offset:.4g} is within 2 % of the largest entropy {high + offset:.4g}: "
            "the policy must stay nearly uniform, so expect α to grow while the task rewards a choice"
        )
    if math.isfinite(low) and target - low <= NEAR * width + SLACK:
        return (
            f"{key}={target + offset:.4g} is within 2 % of the smallest entropy {low + offset:.4g}: "
            "expect α to fall towards 0 and exploration to end"
        )
    return None
