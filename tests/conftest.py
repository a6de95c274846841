"""Every test runs with the package's annotations checked, shapes included, on one thread."""

import random

import jaxtyping
import numpy as np
import pytest
import torch

# Wherever tensors travel. What people write (envs, cli, loggers, the datamodule's arguments) is checked by
# the package itself, and its tests hand it wrong types on purpose.
CHECKED = (
    "types spaces algorithm heads entropy networks optim replay compile "
    "collect.collector collect.evaluation collect.loaders training.metrics training.module"
)
jaxtyping.install_import_hook(  # before the package is imported
    [f"sac_lightning.{name}" for name in CHECKED.split()], "typechecked.checked"
)
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _global_seeds() -> None:
    """No test sees what another has drawn from a global generator."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
