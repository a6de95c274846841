"""Collecting transitions from envs, and evaluating policies in them."""
