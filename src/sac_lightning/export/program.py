"""A policy as a file: a PyTorch program (`.pt2`) or an ONNX model.

Both are one graph of plain tensor operations, from an observation to the env's action.
"""

import copy
import io
import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from sac_lightning.algorithm.policy import Policy
from sac_lightning.core.errors import ConfigError
from sac_lightning.export.check import Run
from sac_lightning.heads import ActionHead
from sac_lightning.spaces import (
    ActionSpec,
    Array,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
)

FORMAT = 1  # of the description
DESCRIPTION = "policy.json"  # its name inside a .pt2
ONNX_KEY = "sac_lightning"  # and among an ONNX model's metadata
KINDS = {
    BoxAction: "box",
    DiscreteAction: "discrete",
    HybridAction: "hybrid",
    MultiDiscreteAction: "multi_discrete",
}


def torch_bytes(policy: Policy, about: dict[str, Any]) -> bytes:
    """Returns a program for `torch.export.load`, with `about` as its extra file policy.json."""
    with _quiet():
        program = _traced(policy, "torch")
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # names the folders of the exporting machine
        file = io.BytesIO()
        torch.export.save(program, file, extra_files={DESCRIPTION: json.dumps(about)})
    return file.getvalue()


def run_torch(content: bytes) -> Run:
    """Returns a function that computes the actions of such a program."""
    with _quiet():
        program = torch.export.load(io.BytesIO(content)).module()

    def run(obs: Array) -> Array:
        with torch.inference_mode():
            actions: Array = program(torch.from_numpy(obs)).numpy()
        return actions

    return run


def onnx_bytes(policy: Policy, about: dict[str, Any]) -> bytes:
    """Returns an ONNX model from `obs` to `action`, its first dimension free. Needs onnx and onnxscript."""
    import onnx

    with _quiet():
        program = torch.onnx.export(
            _traced(policy, "onnx"),
            dynamo=True,
            verbose=False,
            input_names=["obs"],
            output_names=["action"],
        )
    assert program is not None
    model = program.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # where each operation came from in our source
    model.metadata_props.add(key=ONNX_KEY, value=json.dumps(about))
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def run_onnx(content: bytes) -> Run:
    """Returns a function that computes the actions of such a model with onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(obs: Array) -> Array:
        actions: Array = session.run(["action"], {"obs": obs})[0]
        return actions

    return run


def _traced(policy: Policy, format_: str) -> ExportedProgram:
    batch = {0: Dim("batch", min=1)}
    try:
        return torch.export.export(PolicyGraph(policy), (_example(policy),), dynamic_shapes=(batch,))
    except ConfigError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        name = policy.head.name()
        raise ConfigError("format", format_, f"the policy ({name}) cannot be traced: {reason}") from None


def _example(policy: Policy) -> torch.Tensor:
    return torch.zeros(2, *policy.obs.shape, dtype=getattr(torch, policy.obs.dtype))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporters' remarks about packages that are not needed here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


# --- the graph ---------------------------------------------------------------------------------------


class PolicyGraph(nn.Module):
    """Maps obs [B, *obs] to the mode [B, ...] as `env.step` takes it; has copies of weights and bounds."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.actor = copy.deepcopy(policy.actor).cpu().requires_grad_(False)
        self.normalize_obs = copy.deepcopy(policy.normalize_obs)
        self.head: ActionHead = policy.head
        self.to_env = env_action(policy.action)
        self.eval()

    def forward(self, obs: Tensor) -> Tensor:
        """Returns the mode, in the env's units."""
        if self.normalize_obs is not None:
            obs = self.normalize_obs(obs)
        actions: Tensor = self.to_env(self.head.mode(self.actor(obs)))
        return actions


def describe(policy: Policy, **about: Any) -> dict[str, Any]:
    """Returns what a reader of the file needs to know of its input and output, as JSON values."""
    obs = {"obs_shape": list(policy.obs.shape), "obs_dtype": policy.obs.dtype}
    return {
        "format": FORMAT,
        **obs,
        "head": policy.head.name(),
        **about,
        "action": _describe_action(policy.action),
    }


def _describe_action(action: ActionSpec) -> dict[str, Any]:
    spec = action.to_spec()
    if isinstance(action, HybridAction):
        numbers = spec.pop("numbers")
        spec |= {key: numbers[key] for key in ("low", "high", "dtype")}
    for end in spec.keys() & {"low", "high"}:  # JSON has no infinity: null stands for a missing bound
        spec[end] = [x if math.isfinite(x) else None for x in spec[end]]
    return {**spec, "kind": next(kind for cls, kind in KINDS.items() if isinstance(action, cls))}


# --- from the actor's own form of an action to the env's ---------------------------------------------


class BoxToEnv(nn.Module):
    """Computes BoxAction.to_env: scaled in float64, rounded to the env's dtype, clipped to its bounds."""

    scale: Tensor
    centre: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, action: BoxAction) -> None:
        super().__init__()
        self.shape, self.dtype = action.shape, getattr(torch, action.dtype)
        for name in ("scale", "centre"):
            self.register_buffer(name, torch.tensor(getattr(action, name), dtype=torch.float64))
        for name in ("low", "high"):
            ends = np.asarray(getattr(action, name), action.dtype)
            self.register_buffer(name, torch.tensor(ends.astype(np.float64)))

    def forward(self, action: Tensor) -> Tensor:
        """Maps [B, A] in the unit box to [B, *shape] within the bounds."""
        scaled = action.double() * self.scale + self.centre
        if self.dtype != torch.float64:
            scaled = scaled.float().to(self.dtype).double()  # to float16 by float32, as NumPy's side does
        # Not every runtime compares float16; in float64 its numbers and bounds are the same.
        clipped = torch.minimum(torch.maximum(scaled, self.low), self.high)
        return clipped.to(self.dtype).reshape(-1, *self.shape)


class DiscreteToEnv(nn.Module):
    """Computes DiscreteAction.to_env: the index from `start` on."""

    def __init__(self, action: DiscreteAction) -> None:
        super().__init__()
        self.start, self.dtype = action.start, getattr(torch, action.dtype)

    def forward(self, action: Tensor) -> Tensor:
        """Maps [B] indices to [B] env actions."""
        return (action.long() + self.start).to(self.dtype)


class MultiDiscreteToEnv(nn.Module):
    """Computes MultiDiscreteAction.to_env: each choice from its `start` on."""

    starts: Tensor

    def __init__(self, action: MultiDiscreteAction) -> None:
        super().__init__()
        self.sizes, self.shape, self.enumerable = action.sizes, action.shape, action.enumerable
        self.dtype = getattr(torch, action.dtype)
        self.register_buffer("starts", torch.tensor(action.starts))

    def forward(self, action: Tensor) -> Tensor:
        """Maps [B] joint indices, or [B, Σ sizes] one-hot vectors, to [B, *shape] env actions."""
        if self.enumerable:
            choices: list[Tensor] = []
            for size in reversed(self.sizes):
                choices.insert(0, action % size)
                action = action // size
        else:
            choices = [part.argmax(dim=-1) for part in torch.split(action, list(self.sizes), dim=-1)]
        return (torch.stack(choices, dim=-1) + self.starts).to(self.dtype).reshape(-1, *self.shape)


class HybridToEnv(nn.Module):
    """Computes HybridAction.to_env: the choice, then the numbers within their bounds."""

    def __init__(self, action: HybridAction) -> None:
        super().__init__()
        self.n = action.n
        self.numbers = BoxToEnv(action.numbers)

    def forward(self, action: Tensor) -> Tensor:
        """Maps [B, n + A] to [B, 1 + A]."""
        choice = action[:, : self.n].argmax(dim=-1, keepdim=True)
        return torch.cat((choice.to(self.numbers.dtype), self.numbers(action[:, self.n :])), dim=-1)


def env_action(action: ActionSpec) -> nn.Module:
    """Returns `action.to_env` as tensor operations. Raises ConfigError for an action space of one's own."""
    if isinstance(action, BoxAction):
        return BoxToEnv(action)
    if isinstance(action, DiscreteAction):
        return DiscreteToEnv(action)
    if isinstance(action, MultiDiscreteAction):
        return MultiDiscreteToEnv(action)
    if isinstance(action, HybridAction):
        return HybridToEnv(action)
    raise ConfigError("run", type(action).__name__, "actions of this space cannot be exported")
