"""Separate random streams from one seed, so that no part of a run can shift another's draws."""

from typing import NamedTuple

import numpy as np
import torch


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


def torch_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` that starts at `seed`."""
    return torch.Generator(device=device).manual_seed(seed)
