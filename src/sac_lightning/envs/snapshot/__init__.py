"""Saving a simulator in the middle of an episode, and continuing from there."""
