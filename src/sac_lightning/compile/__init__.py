"""Compiling the update as one graph; what PyTorch does not document is in `private.torch`."""
