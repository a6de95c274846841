"""Whether a policy of the head can have the target entropy, and what a rule means for one action space."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sac_lightning.core.errors import ConfigError, require
from sac_lightning.entropy.target_entropy import KEY, TargetEntropyRule
from sac_lightning.entropy.temperature import TemperatureRule
from sac_lightning.heads.base import ActionHead
from sac_lightning.spaces import ActionSpec

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
    """None if `target` lies well within the head's attainable entropies, else a warning.

    Only the uniform policy reaches the upper end itself, and none the lower one. With a target that no policy
    can have, α runs away.
    Raises ConfigError, naming the interval, when no policy of this head has that entropy.
    """
    low, high = head.entropy_interval.low, head.entropy_interval.high
    allowed = f"({low + offset:.4g}, {high + offset:.4g}]"
    if not low < target <= high + SLACK:
        effect = "α would fall to 0" if target <= low else "α would grow without end"
        reason = f"no policy of the {type(head).__name__} head has that entropy ({effect})"
        raise ConfigError(key, f"{target + offset:.4g}", f"{reason}; allowed: {allowed} nats")
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


class EntropySetting(NamedTuple):
    """First values of the tensors that a module keeps for its rules; nats of the unit action box."""

    log_alpha: Tensor  # [] or [A]
    target_rule: TargetEntropyRule | None  # None where α is not learned
    target: float
    memory: tuple[float, ...]
    offset: float  # what the log adds to an entropy, for the units of the config
    warning: str | None


def entropy_setting(rule: TemperatureRule, head: ActionHead, action: ActionSpec) -> EntropySetting:
    """The setting of `rule`. Raises ConfigError for what no policy of the head can do."""
    offset = 0.0
    if rule.units == "env":
        offset = action.log_scale
        allowed = f"needs a width above 0 in each action dimension; the env has {action}"
        require(math.isfinite(offset), "alpha.units", rule.units, allowed)
    first = math.log(rule.initial) if rule.initial > 0.0 else -math.inf
    log_alpha = torch.full(rule.log_alpha_shape(head), first)
    if rule.target_rule is None:
        return EntropySetting(log_alpha, None, math.nan, (), offset, None)
    target_rule = rule.target_rule.shifted(-offset)
    warning = check_rule(target_rule, head, offset)
    target, memory = target_rule.value(head), target_rule.memory()
    return EntropySetting(log_alpha, target_rule, target, memory, offset, warning)
