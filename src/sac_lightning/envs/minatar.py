"""Registers the games of MinAtar with Gymnasium, which importing that package does not."""

from minatar.gym import register_envs

register_envs()
