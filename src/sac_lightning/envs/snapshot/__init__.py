"""Saving a simulator in the middle of an episode, and going on from there."""
