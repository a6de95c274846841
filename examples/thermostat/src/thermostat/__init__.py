"""A package of your own for sac_lightning: importing it registers Thermostat-v0 and all parts."""

import gymnasium as gym

from thermostat.encoder import Symlog
from thermostat.env import SteadyHand, Thermostat
from thermostat.head import ConstantStd
from thermostat.normalization import Centred, LargestReturn
from thermostat.optimizer import WarmUp
from thermostat.pessimism import PartlyMin
from thermostat.replay import RecentReplay
from thermostat.rule import Halving
from thermostat.target_entropy import Width
from thermostat.target_network import HalfLife
from thermostat.torso import Residual
from thermostat.value_head import HuberValue

__all__ = [
    "Centred",
    "ConstantStd",
    "HalfLife",
    "Halving",
    "HuberValue",
    "LargestReturn",
    "PartlyMin",
    "RecentReplay",
    "Residual",
    "SteadyHand",
    "Symlog",
    "Thermostat",
    "WarmUp",
    "Width",
]

if "Thermostat-v0" not in gym.registry:
    gym.register("Thermostat-v0", Thermostat, max_episode_steps=50)
