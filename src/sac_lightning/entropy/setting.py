"""What a temperature rule means for one action space: where its tensors begin, and what they aim at."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sac_lightning.core.errors import require
from sac_lightning.entropy.reachable import check_rule
from sac_lightning.entropy.target_entropy import TargetEntropyRule
from sac_lightning.entropy.temperature import TemperatureRule
from sac_lightning.heads.base import ActionHead
from sac_lightning.spaces import ActionSpec


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
        told = f"needs a width above 0 in each action dimension; the env has {action}"
        require(math.isfinite(offset), "alpha.units", rule.units, told)
    first = math.log(rule.initial) if rule.initial > 0.0 else -math.inf
    log_alpha = torch.full(rule.parts(head), first)
    if rule.target_rule is None:
        return EntropySetting(log_alpha, None, math.nan, (), offset, None)
    target_rule = rule.target_rule.shifted(-offset)
    warning = check_rule(target_rule, head, offset)
    return EntropySetting(
        log_alpha, target_rule, target_rule.value(head), target_rule.memory(), offset, warning
    )
