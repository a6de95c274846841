"""Entropy rules: how α is set (temperature) and which entropy it aims at (target_entropy)."""

from sac_lightning.entropy.feasibility import EntropySetting, check_reachable, check_rule, entropy_setting
from sac_lightning.entropy.moving_target import Schedule, Tes
from sac_lightning.entropy.target_entropy import (
    Constant,
    EpsPeaked,
    HeadDefault,
    MaxEntropy,
    MaxRatio,
    NegDim,
    NegHalfDim,
    PerPart,
    Sigma,
    TargetEntropyRule,
    Zero,
)
from sac_lightning.entropy.temperature import Anneal, Fixed, LearnedTemperature, TemperatureRule

__all__ = [
    "Anneal",
    "Constant",
    "EntropySetting",
    "EpsPeaked",
    "Fixed",
    "HeadDefault",
    "LearnedTemperature",
    "MaxEntropy",
    "MaxRatio",
    "NegDim",
    "NegHalfDim",
    "PerPart",
    "Schedule",
    "Sigma",
    "TargetEntropyRule",
    "TemperatureRule",
    "Tes",
    "Zero",
    "check_reachable",
    "check_rule",
    "entropy_setting",
]
