"""Tests of sac_lightning.envs."""
