"""Registers the games of MinAtar with Gymnasium, as `minatar.gym.register_envs` would."""

import gymnasium as gym

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")

for game in GAMES:
    gym.register(
        id=f"MinAtar/{game.title().replace('_', '')}-v1",
        entry_point="minatar.gym:BaseEnv",
        kwargs={"game": game, "use_minimal_action_set": True},
    )
