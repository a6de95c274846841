"""The process's global random states as plain data.

Nothing of ours draws from them, but an env, a wrapper or a callback may.
"""

import random
from typing import Any

import numpy as np
import torch


def seed_global_rng(seed: int) -> None:
    """Start the global generators from `seed`, so that a run is the same whoever draws from them."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def global_rng_state() -> dict[str, Any]:
    """States of Python's, NumPy's and PyTorch's global generators: numbers, strings and tensors only."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": {"version": version, "internal": torch.tensor(internal, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "name": str(name),
            "keys": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_global_rng(state: dict[str, Any]) -> None:
    """Put the global generators back to `state`."""
    python = state["python"]
    random.setstate((python["version"], tuple(python["internal"].tolist()), python["gauss"]))
    saved = state["numpy"]
    keys = saved["keys"].numpy().astype(np.uint32)
    np.random.set_state((saved["name"], keys, saved["position"], saved["has_gauss"], saved["cached"]))
    torch.set_rng_state(state["torch"].cpu())
    for device, generator in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(generator.cpu(), device)


def same_rng_state(one: Any, other: Any) -> bool:
    """Returns whether two states of the global generators are the same: nobody drew in between."""
    if isinstance(one, dict):
        return all(same_rng_state(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return all(map(same_rng_state, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)
