"""Hydra finds sweepers only below `hydra_plugins`; what these do is in `sac_lightning.cli`."""
