"""A package of your own for sac_lightning: importing it registers Thermostat-v0, the head and the rule."""

import gymnasium as gym

from thermostat.env import SteadyHand, Thermostat
from thermostat.head import ConstantStd
from thermostat.rule import Halving

__all__ = ["ConstantStd", "Halving", "SteadyHand", "Thermostat"]

if "Thermostat-v0" not in gym.registry:
    gym.register("Thermostat-v0", Thermostat, max_episode_steps=50)
