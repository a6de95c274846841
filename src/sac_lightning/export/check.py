"""Checks that an exported policy acts as the policy does."""

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
    """Says in one line how an exported file differs from the policy."""


def largest_difference(policy: Policy, run: Run, seed: int = 0) -> float:
    """Returns how far `run` is from the policy's own mode, over random and extreme observations.

    It is measured in the unit action box (unbounded actions: against max(1, |action|)), and for an
    observation with numbers above 1 against the largest of them: sums of large float32 numbers are no more
    exact than that. For a choice it is the gap between the chosen action's logit and the best one, so that
    a tie is no difference. Infinite when shape, dtype or bounds are wrong.
    """
    batches = probes(policy.obs, np.random.default_rng(seed))
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
    action = policy.action
    if isinstance(action, BoxAction):
        difference = _box_difference(action, found, expected)
    elif isinstance(action, HybridAction) and isinstance(policy.head, Hybrid):
        numbers = _box_difference(action.numbers, found[:, 1:], expected[:, 1:])
        # Where two choices tie, each has numbers of its own; out of bounds none may be.
        compared = (found[:, 0] == expected[:, 0]) | np.isinf(numbers)
        gap = _logit_gap(policy, obs, found[:, :1], (action.n,))
        difference = np.maximum(gap, np.where(compared, numbers, 0.0))
    elif isinstance(action, MultiDiscreteAction) and isinstance(policy.head, FactoredCategorical):
        choices = found.reshape(len(obs), -1) - np.asarray(action.starts)
        difference = _logit_gap(policy, obs, choices, action.sizes)
    elif isinstance(policy.head, Categorical):
        first = action.to_env(np.zeros(1, np.int64))[0]
        difference = _logit_gap(policy, obs, found[:, None] - first, (policy.head.n,))
    else:
        difference = np.where((found == expected).reshape(len(obs), -1).all(-1), 0.0, np.inf)
    return float((difference / _magnitude(obs)).max())


def _box_difference(action: BoxAction, found: Array, expected: Array) -> Array:
    flat, wanted = (each.reshape(len(found), -1).astype(np.float64) for each in (found, expected))
    low, high = (np.asarray(ends, action.dtype) for ends in (action.low, action.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    unit = np.where(bounded, action.scale, np.maximum(1.0, np.abs(wanted)))
    # The next number of float16 is no difference: it is a thousandth away.
    step = (
        np.spacing(np.maximum(abs(flat), abs(wanted)).astype(np.float16)) if action.dtype == "float16" else 0
    )
    difference = (np.maximum(np.abs(flat - wanted) - step, 0.0) / unit).max(-1)
    within = ((flat >= low) & (flat <= high)).all(-1)
    return np.where(within, difference, np.inf)


def _logit_gap(policy: Policy, obs: Array, choices: Array, sizes: Sequence[int]) -> Array:
    """Returns the gap [B] between the logits of `choices` [B, D] and the best."""
    index = choices.astype(np.int64)
    if not ((index >= 0) & (index < np.asarray(sizes))).all():
        return np.full(len(obs), np.inf)
    with torch.inference_mode():
        features = policy.features(torch.as_tensor(obs, device=policy.device)).double().cpu().numpy()
    gap = np.zeros(len(obs))
    # Logits come first in the actor's output.
    for d, part in enumerate(np.split(features[:, : sum(sizes)], np.cumsum(sizes)[:-1], axis=-1)):
        gap = np.maximum(gap, part.max(-1) - np.take_along_axis(part, index[:, d, None], axis=-1)[:, 0])
    return gap


def _magnitude(obs: Array) -> Array:
    if obs.dtype == np.uint8:  # the networks read bytes as numbers from 0 to 1
        return np.ones(len(obs))
    largest: Array = np.maximum(1.0, np.abs(obs.astype(np.float64)).reshape(len(obs), -1).max(-1))
    return largest
