"""Separate random streams from one seed, so that no part of a run can shift another's draws; their states."""

import hashlib
import logging
import random
from typing import Any, NamedTuple

import numpy as np
import torch

log = logging.getLogger(__name__)
ANOTHER_DEVICE = (
    "the checkpoint comes from another kind of device: the run is no longer bit-identical to one that stayed "
    "there, for its random streams start again here"
)


class Streams(NamedTuple):
    """One integer seed per consumer of randomness."""

    env: int
    action: int
    replay: int
    evaluation: int  # of runs before `eval_seed`; it stays, so that the seeds below do not move
    init: int
    update: int
    process: int  # the global generators, for whatever is not ours

    @classmethod
    def of(cls, seed: int) -> "Streams":
        """Independent streams of `seed`, by `numpy.random.SeedSequence.spawn`."""
        children = np.random.SeedSequence(seed).spawn(len(cls._fields))
        # 31 bits: Gymnasium's vector envs add the env's index and hand the sum to C-sized ints.
        return cls(*(int(child.generate_state(1)[0] >> 1) for child in children))

    def init_after(self, resets: int) -> int:
        """The seed of the weights after so many resets, at least 1."""
        return int(np.random.SeedSequence([self.init, resets]).generate_state(1)[0] >> 1)


def continue_generator(generator: torch.Generator, state: torch.Tensor, warn: bool = False) -> None:
    """Continue `generator` from a saved `state`, which may be of another kind of device; then `warn` of it.

    A GPU's state has another size than a CPU's: the stream then starts again, from a seed of that state, so
    that it is not the one that the run started with.
    """
    state = state.cpu()
    if state.shape == generator.get_state().shape:
        generator.set_state(state)
        return
    digest = hashlib.sha256(state.numpy().tobytes()).digest()
    generator.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    if warn:
        log.warning(ANOTHER_DEVICE)


def torch_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` that starts at `seed`."""
    return torch.Generator(device=device).manual_seed(seed)


# --- the global generators: nothing of ours draws from them, but an env, a wrapper or a callback may -----


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
