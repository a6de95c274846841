"""Checks that an exported policy acts as the policy does."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sac_lightning.algorithm.policy import Policy
from sac_lightning.export.actions import exported_action
from sac_lightning.spaces import Array, ObsSpec

TOLERANCE = 1e-5  # of half an action's range
LARGEST_ROUNDING = 1e-4  # that a policy's rounding of one observation may excuse at another
ROWS = 256
# Far outside what any network was trained on, where float32 still adds up.
SCALES = (0.1, 1.0, 10.0, 1e3, 1e6)
LARGEST_INTEGER = 1_000_000

Run = Callable[[Array], Array]


class ExportError(Exception):
    """Says in one line how an exported file differs from the policy."""


def largest_difference(policy: Policy, run: Run) -> float:
    """Returns how far `run` is from the policy's own mode, over random and extreme observations.

    Where Batch Renormalization divides by a small deviation, float32 itself may be off by more than
    TOLERANCE. So above it another number counts, if it is smaller: how much further `run` is from the policy
    in float64 than the policy is, or than twice its largest distance in the batch, of which at most
    LARGEST_ROUNDING counts. Both round alike, but not in the same rows.

    Both are measured in the unit action box (unbounded actions: against max(1, |action|)), and for an
    observation with numbers above 1 against the largest of them: sums of large float32 numbers are no more
    exact than that. For a choice it is the gap between the chosen action's logit and the best one, so that
    a tie is no difference. Infinite when shape, dtype or bounds are wrong.
    """
    exact = _in_float64(policy)
    batches = probes(policy.reads, np.random.default_rng(0))
    return max(_difference(policy, exact, obs, run(obs)) for obs in batches)


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


def _difference(policy: Policy, exact: Policy, obs: Array, found: Array) -> float:
    expected = policy.act(obs, deterministic=True)
    if (expected.shape, expected.dtype) != (found.shape, found.dtype):
        return float("inf")
    action, scale = exported_action(policy.action), np.ones(len(obs))
    if obs.dtype != np.uint8:  # the networks read bytes as numbers from 0 to 1
        scale = np.maximum(1.0, np.abs(obs.astype(np.float64)).reshape(len(obs), -1).max(-1))
    difference = action.difference(policy, obs, found, expected) / scale
    if not (difference <= TOLERANCE).all():
        try:
            with _Float64():
                wide = obs.astype(exact.obs.dtype)
                best = exact.act(wide, deterministic=True)
                theirs, own = (
                    action.difference(exact, wide, each, best) / scale for each in (found, expected)
                )
        except Exception:  # a part of someone's own that computes in float32 alone
            pass
        else:  # NaN, which does not count, where the policy in float64 makes another choice
            rounding = min(2.0 * own[np.isfinite(own)].max(initial=0.0), LARGEST_ROUNDING)
            allowed = np.where(np.isinf(own), np.nan, np.maximum(own, rounding))
            difference = np.fmin(difference, theirs - allowed)
    return float(difference.max())


def _in_float64(policy: Policy) -> Policy:
    """Returns a copy of `policy` that computes in float64 inside `_Float64`."""
    normalize_obs = None if policy.normalize_obs is None else deepcopy(policy.normalize_obs).cpu().double()
    # Of bytes the networks make numbers of PyTorch's default dtype.
    is_wide = policy.obs.dtype == "uint8" or np.issubdtype(np.dtype(policy.obs.dtype), np.floating)
    obs = replace(policy.obs, dtype="float64") if is_wide else policy.obs
    actor = deepcopy(policy.actor).cpu().double()
    return replace(policy, actor=actor, normalize_obs=normalize_obs, obs=obs)


class _Float64(TorchFunctionMode):
    """Makes casts to float32, which the networks contain, casts to float64."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.float:
            return args[0].double()
        if func is Tensor.to:
            args = tuple(torch.float64 if each is torch.float32 else each for each in args)
        return func(*args, **(kwargs or {}))
