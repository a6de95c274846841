"""Every test runs with the package's annotations checked, shapes included, on one thread."""

import getpass
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

# `make test &` in a script ignores Ctrl-C, and so would all processes that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Before PyTorch. Idle threads sleep: tests start processes of two threads each, more than there are cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What the tests compile is less optimized, so it has a cache of its own.
os.environ.update(
    {
        "PATH": f"{Path(__file__).parent / 'compiler'}{os.pathsep}{os.environ['PATH']}",
        "TORCHINDUCTOR_CACHE_DIR": str(
            Path(tempfile.gettempdir(), f"torchinductor_tests_{getpass.getuser()}")
        ),
    }
    if shutil.which("g++") and "TORCHINDUCTOR_CACHE_DIR" not in os.environ  # once, not again in each worker
    else {}
)

import random

import jaxtyping
import numpy as np
import pytest
import torch

# Wherever tensors travel. What people write (envs, cli, loggers, the datamodule's arguments) is checked by
# the package itself, and its tests hand it wrong types on purpose.
CHECKED = (
    "types spaces algorithm heads entropy networks optim replay compile "
    "collect.collector collect.evaluation collect.loaders training.metrics training.module "
    "training.update_loop training.policy_module"
)
jaxtyping.install_import_hook(  # before the package is imported
    [f"sac_lightning.{name}" for name in CHECKED.split()], "typechecked.checked"
)
torch.set_num_threads(1)

# Files of few long tests come first, so that both workers end at the same time (`--dist loadfile`).
LONG = (
    "cli/test_odd_values",
    "resume/test_kill",
    "compile/test_update",
    "learning/",
    "test_extending",
    "resume/test_bit_exact",
    "compile/",
    "resume/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the tests by file: long ones first, the others as they were."""

    def place(item: pytest.Item) -> int:
        return next((i for i, name in enumerate(LONG) if f"tests/{name}" in item.path.as_posix()), len(LONG))

    items.sort(key=place)


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """No test hears less because of another: Hydra disables the loggers that are there."""
    before = {name: (log.level, log.propagate, log.handlers[:]) for name, log in loggers().items()}
    yield
    for name, log in loggers().items():
        log.disabled = False
        if name in before:
            level, log.propagate, log.handlers = before[name]
            if log.level != level:
                log.setLevel(level)


def loggers() -> dict[str, logging.Logger]:
    """Returns every logger that has a name."""
    known = logging.getLogger().manager.loggerDict.items()
    return {name: log for name, log in known if isinstance(log, logging.Logger)}


@pytest.fixture(autouse=True)
def _global_seeds() -> None:
    """No test sees what another has drawn from a global generator."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
