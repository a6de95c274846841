"""Every test runs with the package's annotations checked, shapes included, on one thread."""

import random
from collections.abc import Iterator

import jaxtyping
import numpy as np
import pytest
import torch

jaxtyping.install_import_hook("sac_lightning", "typechecked.checked")  # before the package is imported
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _global_seeds() -> Iterator[None]:
    """No test sees what another has drawn from a global generator."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
