"""Does an exported policy act as the policy does?"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from sac_lightning.heads import Categorical
from sac_lightning.policy import Policy
from sac_lightning.spaces import Array, BoxAction, ObsSpec

TOLERANCE = 1e-5
ROWS = 256
# Far outside what any network was trained on, where float32 still adds up.
SCALES = (0.1, 1.0, 10.0, 1e3, 1e6)
LARGEST_INTEGER = 1_000_000

Run = Callable[[Array], Array]


class ExportError(Exception):
    """An export that is not what it should be, told in one line."""


def largest_difference(policy: Policy, run: Run, seed: int = 0) -> float:
    """Over random and extreme observations, how far `run` is from the policy's own mode.

    Measured in the unit action box (unbounded actions: against max(1, |action|)), and for an observation
    with numbers above 1 against the largest of them: sums of large float32 numbers are no more exact than
    that. Of a categorical policy, the logit by which the chosen action falls short of the best, so that
    a tie is no difference. Infinite when shape, dtype or bounds are wrong.
    """
    batches = probes(policy.obs, np.random.default_rng(seed))
    return max(_difference(policy, obs, run(obs)) for obs in batches)


def probes(spec: ObsSpec, rng: np.random.Generator) -> Iterator[Array]:
    """Batches of observations, of sizes 1, 2 and more."""
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
    action = policy.action
    if isinstance(action, BoxAction):
        flat, wanted = (each.reshape(len(obs), -1).astype(np.float64) for each in (found, expected))
        low, high = (np.asarray(ends, np.float32) for ends in (action.low, action.high))
        if not ((flat >= low) & (flat <= high)).all():
            return float("inf")
        bounded = np.isfinite(low) & np.isfinite(high)
        unit = np.where(bounded, action.scale, np.maximum(1.0, np.abs(wanted)))
        apart = (np.abs(flat - wanted) / unit).max(-1)
    else:
        apart = _logits_lost(policy, obs, found, expected)
    return float((apart / _magnitude(obs)).max())


def _logits_lost(policy: Policy, obs: Array, found: Array, expected: Array) -> Array:
    if not isinstance(policy.head, Categorical):
        return np.where(found == expected, 0.0, np.inf)
    with torch.inference_mode():
        logits = policy.actor(torch.as_tensor(obs, device=policy.device)).double().cpu().numpy()
    first = policy.action.to_env(np.zeros(1, np.int64))[0]
    index = found - first
    if not ((index >= 0) & (index < policy.head.n)).all():
        return np.full(len(obs), np.inf)
    taken = np.take_along_axis(logits, index[:, None], axis=-1)[:, 0]
    lost: Array = logits.max(-1) - taken
    return lost


def _magnitude(obs: Array) -> Array:
    if obs.dtype == np.uint8:  # the networks read bytes as numbers from 0 to 1
        return np.ones(len(obs))
    largest: Array = np.maximum(1.0, np.abs(obs.astype(np.float64)).reshape(len(obs), -1).max(-1))
    return largest
