"""A policy as a file: a PyTorch program (`.pt2`) or an ONNX model.

Both are one graph of plain tensor operations, from an observation to the env's action.
"""

import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from sac_lightning.algorithm.policy import Policy
from sac_lightning.core.errors import ConfigError
from sac_lightning.core.screen import log_level
from sac_lightning.export.actions import exported_action
from sac_lightning.export.check import Run
from sac_lightning.spaces import Array

FORMAT = 1  # of the description
DESCRIPTION = "policy.json"  # its name inside a .pt2
ONNX_KEY = "sac_lightning"  # and among an ONNX model's metadata


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
    example = torch.zeros(2, *policy.reads.shape, dtype=getattr(torch, policy.reads.dtype))
    try:
        return torch.export.export(PolicyGraph(policy), (example,), dynamic_shapes=(batch,))
    except ConfigError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        name = policy.head.name()
        raise ConfigError("format", format_, f"the policy ({name}) cannot be traced: {reason}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporters' remarks about packages that are not needed here."""
    with log_level(logging.ERROR, "torch.onnx"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- the graph ---------------------------------------------------------------------------------------


class PolicyGraph(nn.Module):
    """Maps obs [B, *obs] to the mode [B, ...] as `env.step` takes it; has copies of weights and bounds."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.actor = copy.deepcopy(policy.actor).cpu().requires_grad_(False)
        self.normalize_obs = copy.deepcopy(policy.normalize_obs)
        self._policy = replace(policy, actor=self.actor, normalize_obs=self.normalize_obs)
        self.to_env = exported_action(policy.action)
        self.eval()

    def forward(self, obs: Tensor) -> Tensor:
        actions: Tensor = self.to_env(self._policy.head.mode(self._policy.features(obs)))
        return actions


def describe(policy: Policy, **about: Any) -> dict[str, Any]:
    """Returns what a reader of the file needs to know of its input and output, as JSON values."""
    seen = policy.reads
    obs: dict[str, Any] = {"obs_shape": list(seen.shape), "obs_dtype": seen.dtype}
    if seen.parts:
        obs["obs_parts"] = seen.to_spec()["parts"]
    return {
        "format": FORMAT,
        **obs,
        "head": policy.head.name(),
        **about,
        "action": exported_action(policy.action).describe(),
    }
