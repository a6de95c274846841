"""The commands: train, eval. Only this package knows Hydra."""
