"""Fits in a process of their own."""

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, set_start_method

import pytest
import torch
from commands import Fit


def _begin() -> None:
    torch.set_num_threads(1)
    set_start_method(None, force=True)  # for env workers: not this pool's, but the usual one
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


@pytest.fixture(scope="session")
def fit() -> Iterator[Fit]:
    """`run.to_the_end(directory, stops)` where annotations are not checked.

    What checks them draws from Python's global generator, whose state is compared.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin) as pool:
        yield lambda run, directory, *stops: pool.submit(run.to_the_end, directory, stops).result()
