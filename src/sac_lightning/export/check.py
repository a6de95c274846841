"""Checks that an exported policy acts as the policy does."""

from collections.abc import Callable, Iterator

import numpy as np

from sac_lightning.algorithm.policy import Policy
from sac_lightning.export.actions import exported_action
from sac_lightning.spaces import Array, ObsSpec

# Of half an action's range. A policy's own float32 error, against float64, was measured at 1e-5 where Batch
# Renormalization divides by a small deviation. A file that lacks a layer or a statistic is further away.
TOLERANCE = 1e-4
ROWS = 256
# Far outside what any network was trained on, where float32 still adds up.
SCALES = (0.1, 1.0, 10.0, 1e3, 1e6)
LARGEST_INTEGER = 1_000_000

Run = Callable[[Array], Array]


class ExportError(Exception):
    """Says in one line how an exported file differs from the policy."""


def largest_difference(policy: Policy, run: Run) -> float:
    """Returns how far `run` is from the policy's own mode, over random and extreme observations.

    It is measured in the unit action box (unbounded actions: against max(1, |action|)), and for an
    observation with numbers above 1 against the largest of them: sums of large float32 numbers are no more
    exact than that. For a choice it is the gap between the chosen action's logit and the best one, so that
    a tie is no difference. Infinite when shape, dtype or bounds are wrong.
    """
    batches = probes(policy.reads, np.random.default_rng(0))
    return max(_difference(policy, obs, run(obs)) for obs in batches)


def probes(spec: ObsSpec, rng: np.random.Generator) -> Iterator[Array]:
    """Yields batches of observations, of sizes 1, 2 and more."""
    dtype = np.dtype(spec.dtype)
    if np.issubdtype(dtype, np.floating):
        for scale in SCALES:
            yield (scale * rng.standard_normal((ROWS, *spec.shape))).astype(dtype)
        ends = [0.0, *(sign * scale for scale in SCALES for sign in (-1, 1))]
    else:
        limits = np.iinfo(dtype) if dtype != np.bool_ else np.iinfo(np.uint8)
        low, high = max(limits.min, -LARGEST_INTEGER), min(limits.max, LARGEST_INTEGER)
        yield rng.integers(low, high, (ROWS, *spec.shape), endpoint=True).astype(dtype)
        ends = [0, low, high]
    for end in ends:
        yield np.full((1, *spec.shape), end, dtype)
    yield np.stack([np.full(spec.shape, end, dtype) for end in ends[:2]])


def _difference(policy: Policy, obs: Array, found: Array) -> float:
    expected = policy.act(obs, deterministic=True)
    if (expected.shape, expected.dtype) != (found.shape, found.dtype):
        return float("inf")
    difference = exported_action(policy.action).difference(policy, obs, found, expected)
    if obs.dtype != np.uint8:  # the networks read bytes as numbers from 0 to 1
        difference /= np.maximum(1.0, np.abs(obs.astype(np.float64)).reshape(len(obs), -1).max(-1))
    return float(difference.max())
