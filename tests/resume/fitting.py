"""How the process of the fits begins: in a module whose name no other folder of tests has."""

import logging
from multiprocessing import set_start_method

import torch


def begin() -> None:
    """Quiet, on one thread."""
    torch.set_num_threads(1)
    set_start_method(None, force=True)  # for env workers: not this pool's, but the usual one
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
