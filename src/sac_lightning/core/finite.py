"""Numbers that are NaN, infinite or too large for float32: found before they spread, and named."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

Array = npt.NDArray[Any]
# The networks compute in float32, and a loss squares: the square of a larger number is infinite there.
LARGEST_SQUARE = float(np.finfo(np.float32).max)
LARGEST = math.sqrt(LARGEST_SQUARE)
ADVICE = (
    "check the size of the env's rewards and observations, lower the learning rates, or clip the gradients "
    "(max_grad_norm)"
)


class NotFiniteError(ArithmeticError):
    """A metric, an action or a weight of the learner is NaN or infinite; the message names it.

    `updates_ago` says how many updates were made after the one that the message is about.
    """

    def __init__(self, message: str, updates_ago: int = 0) -> None:
        self.updates_ago = updates_ago
        super().__init__(message)


@contextmanager
def naming_update(grad_steps: Tensor, env_steps: Tensor) -> Iterator[None]:
    """Add the update and the env steps, as these counters stand then, to a NotFiniteError that passes."""
    try:
        yield
    except NotFiniteError as error:
        update = int(grad_steps) - error.updates_ago
        where = f"at update {update} (by env step {int(env_steps)})"
        raise NotFiniteError(f"{error}, {where}: {ADVICE}") from None


def first_unusable(values: Array) -> str | None:
    """The first of an env's `values` [B, ...] that float32 networks cannot use, in words; None without one.

    Costs about 1.5 µs for a small batch.
    """
    if values.dtype.kind != "f" or _square(values) <= LARGEST_SQUARE:
        return None
    # False for NaN; a plain number would become a float16's inf.
    usable = np.abs(values) <= np.float64(LARGEST)
    if usable.all():
        return None
    where = tuple(int(i) for i in np.argwhere(~usable)[0])
    limit = f" (float32 networks can use numbers up to ±{LARGEST:.2g})" if np.isfinite(values[where]) else ""
    return f"{_element(where)} of env {where[0]} is {float(values[where]):.6g}{limit}"


def check_action(action: Array, obs: Array) -> None:
    """Raise NotFiniteError unless the policy's `action` [B, ...] for `obs` [B, ...] is finite."""
    if action.dtype.kind != "f" or math.isfinite(_square(action)) or np.isfinite(action).all():
        return
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(action))[0])
    largest = np.abs(obs[where[0]].astype(np.float64)).max(initial=0.0)
    raise NotFiniteError(
        f"the policy's action{_element(where)} of env {where[0]} is {action[where]} "
        f"(the largest number in its observation: {largest:.3g})"
    )


def name_first_update(updates: Sequence[Mapping[str, Tensor]]) -> None:
    """Raise NotFiniteError for the first of `updates`, the newest last, with a metric that is not finite."""
    for number, metrics in enumerate(updates, 1):
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NotFiniteError(f"{name} is {float(value)}", len(updates) - number)


def check_weights(module: nn.Module, optimizers: Iterable[Mapping[str, Any]] = ()) -> None:
    """Raise NotFiniteError unless weights, buffers and the numbers of the optimizers' state dicts are finite.

    `module` counts its `grad_steps` and `env_steps` in buffers.
    """
    # Where α is not learned, log α may be −∞ (log 0 is a choice) and there is no target.
    unused = () if module.get_parameter("log_alpha").requires_grad else ("log_alpha", "target_entropy")
    named: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with naming_update(module.get_buffer("grad_steps"), module.get_buffer("env_steps")):
        for name, tensor in named.items():
            if name not in unused and tensor.is_floating_point() and not tensor.isfinite().all():
                kind = "weights" if isinstance(tensor, nn.Parameter) else "numbers"
                raise NotFiniteError(f"the {kind} {name} are not finite")
        for number, optimizer in enumerate(optimizers):
            for state in optimizer["state"].values():
                for name, value in state.items():
                    if isinstance(value, Tensor) and not value.isfinite().all():
                        which = ("critic", "actor", "alpha")[number] if number < 3 else str(number)
                        raise NotFiniteError(f"{name} of the {which} optimizer is not finite")


def _square(values: Array) -> float:
    """Σ v²: half the price of a look at each number. It can overflow, so only a small one says something."""
    return float(np.vdot(values, values)) if values.dtype.itemsize >= 4 else math.inf


def _element(where: tuple[int, ...]) -> str:
    """The place within a batch's row: [1, 2], or nothing where the row is a single number."""
    return f"[{', '.join(map(str, where[1:]))}]" if len(where) > 1 else ""
