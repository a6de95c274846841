"""Compiling the update: every undocumented part of PyTorch that this package uses is in this folder."""
