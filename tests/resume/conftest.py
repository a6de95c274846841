"""Fits in a process of their own."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, set_start_method
from pathlib import Path

import pytest
import torch
from commands import SERVER, TINY, Fit, Server, environment

from sac_lightning.checkpoint import read_checkpoint


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


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Commands in one long-lived process."""
    with subprocess.Popen(
        [sys.executable, str(SERVER)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Server(process)


@pytest.fixture(scope="session")
def ended_run(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """A run that came to its end; its best evaluation was not its last. Copy it, and do not touch it."""
    cwd = tmp_path_factory.mktemp("ended")
    ended = server.train(*TINY, "env=cartpole", "hydra.run.dir=run", cwd=cwd)
    assert ended.code == 0, ended.err
    checkpoints = [cwd / "run" / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    best, last = (read_checkpoint(path)["global_step"] for path in checkpoints)
    assert best < last
    return cwd / "run"


@pytest.fixture
def run(ended_run: Path, tmp_path: Path) -> Path:
    """A copy of that run, in a folder with a space in its name: it has moved."""
    return Path(shutil.copytree(ended_run, tmp_path / "a run"))
