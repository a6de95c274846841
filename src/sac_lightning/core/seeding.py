"""Separate random streams from one seed, so that no part of a run can shift another's draws."""

import hashlib
import logging
from typing import NamedTuple

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
