"""Does an exported policy act as the policy does?"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from sac_lightning.algorithm.policy import Policy
from sac_lightning.heads import Categorical, Hybrid
from sac_lightning.heads.discrete import FactoredCategorical
from sac_lightning.spaces import Array, BoxAction, HybridAction, MultiDiscreteAction, ObsSpec

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
        apart = _numbers_apart(action, found, expected)
    elif isinstance(action, HybridAction) and isinstance(policy.head, Hybrid):
        numbers = _numbers_apart(action.numbers, found[:, 1:], expected[:, 1:])
        # Where two choices tie, each has numbers of its own; out of bounds none may be.
        compared = (found[:, 0] == expected[:, 0]) | np.isinf(numbers)
        lost = _logits_lost(policy, obs, found[:, :1], (action.n,))
        apart = np.maximum(lost, np.where(compared, numbers, 0.0))
    elif isinstance(action, MultiDiscreteAction) and isinstance(policy.head, FactoredCategorical):
        choices = found.reshape(len(obs), -1) - np.asarray(action.starts)
        apart = _logits_lost(policy, obs, choices, action.sizes)
    elif isinstance(policy.head, Categorical):
        first = action.to_env(np.zeros(1, np.int64))[0]
        apart = _logits_lost(policy, obs, found[:, None] - first, (policy.head.n,))
    else:
        apart = np.where((found == expected).reshape(len(obs), -1).all(-1), 0.0, np.inf)
    return float((apart / _magnitude(obs)).max())


def _numbers_apart(action: BoxAction, found: Array, expected: Array) -> Array:
    flat, wanted = (each.reshape(len(found), -1).astype(np.float64) for each in (found, expected))
    low, high = (np.asarray(ends, action.dtype) for ends in (action.low, action.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    unit = np.where(bounded, action.scale, np.maximum(1.0, np.abs(wanted)))
    # The next number of float16 is no difference: it is a thousandth away.
    step = (
        np.spacing(np.maximum(abs(flat), abs(wanted)).astype(np.float16)) if action.dtype == "float16" else 0
    )
    apart = (np.maximum(np.abs(flat - wanted) - step, 0.0) / unit).max(-1)
    within = ((flat >= low) & (flat <= high)).all(-1)
    return np.where(within, apart, np.inf)


def _logits_lost(policy: Policy, obs: Array, choices: Array, sizes: Sequence[int]) -> Array:
    """By how much the logits of `choices` [B, D] fall short of the best; the actor says logits first."""
    index = choices.astype(np.int64)
    if not ((index >= 0) & (index < np.asarray(sizes))).all():
        return np.full(len(obs), np.inf)
    with torch.inference_mode():
        features = policy.features(torch.as_tensor(obs, device=policy.device)).double().cpu().numpy()
    lost = np.zeros(len(obs))
    for d, part in enumerate(np.split(features[:, : sum(sizes)], np.cumsum(sizes)[:-1], axis=-1)):
        lost = np.maximum(lost, part.max(-1) - np.take_along_axis(part, index[:, d, None], axis=-1)[:, 0])
    return lost


def _magnitude(obs: Array) -> Array:
    if obs.dtype == np.uint8:  # the networks read bytes as numbers from 0 to 1
        return np.ones(len(obs))
    largest: Array = np.maximum(1.0, np.abs(obs.astype(np.float64)).reshape(len(obs), -1).max(-1))
    return largest
