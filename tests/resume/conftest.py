"""Fits in a process of their own."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from commands import SERVER, TINY, Fit, Server, environment
from fitting import begin

from sac_lightning.core.checkpoint import read_checkpoint


@pytest.fixture(scope="session")
def fit() -> Iterator[Fit]:
    """`run.to_the_end(directory, stops)` where annotations are not checked.

    What checks them draws from Python's global generator, whose state is compared.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=begin) as pool:
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
    ended = server.train(*TINY, "env=cartpole", "seed=4", "hydra.run.dir=run", cwd=cwd)
    assert ended.code == 0, ended.err
    checkpoints = [cwd / "run" / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    best, last = (read_checkpoint(path)["global_step"] for path in checkpoints)
    assert best < last
    return cwd / "run"


@pytest.fixture
def run(ended_run: Path, tmp_path: Path) -> Path:
    """A copy of that run, in a folder with a space in its name: it has moved."""
    return Path(shutil.copytree(ended_run, tmp_path / "a run"))
