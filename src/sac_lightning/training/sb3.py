"""Agents of Stable-Baselines3, read into a module of ours."""

import json
import re
from pathlib import Path
from typing import Any, NoReturn
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor

from sac_lightning.core.errors import ConfigError, one_line
from sac_lightning.entropy import Fixed, LearnedTemperature
from sac_lightning.heads.gaussian import TanhNormal
from sac_lightning.networks import ActorConfig, CriticConfig
from sac_lightning.spaces import ActionSpec, ObsSpec
from sac_lightning.training.module import SACModule

MEMBERS = ("data", "policy.pth", "pytorch_variables.pth")


def load_sb3(path: str | Path, obs: ObsSpec, action: ActionSpec) -> SACModule:
    """Returns a module with the networks and α of an agent that Stable-Baselines3's `SAC.save` wrote.

    Deterministic actions and Q values are those of the agent. Its log σ is a clip of the network's output,
    ours a scaled tanh: the two agree to first order around the output's bias. States of optimizers, the
    replay buffer and counters are not read; nothing in the file is unpickled.

    Args:
        path: the zip file; a SAC with "MlpPolicy", ReLU, and without gSDE.
        obs: the observation space, a vector.
        action: the action space, a Box; `ReplayDataModule.specs` returns both.

    Raises ConfigError for another file, policy or space.
    """

    def refuse(reason: str) -> NoReturn:
        raise ConfigError("path", path, reason)

    try:
        with ZipFile(path) as archive:
            settings = json.loads(archive.read("data"))
            weights, variables = (_tensors(archive, name) for name in MEMBERS[1:])
    except (OSError, BadZipFile, KeyError, ValueError, RuntimeError) as error:
        refuse(f"must be a zip file of Stable-Baselines3's SAC.save ({one_line(error)[:100]})")
    kwargs = settings.get("policy_kwargs", {})
    activation = str(kwargs.get("activation_fn", "ReLU"))
    if settings.get("use_sde") or "ReLU" not in activation or "actor.latent_pi.0.weight" not in weights:
        refuse('must be of a SAC with "MlpPolicy", ReLU and use_sde=False')

    hidden = [len(weights[name]) for name in weights if re.fullmatch(r"actor\.latent_pi\.\d+\.bias", name)]
    wide = [len(weights[name]) for name in weights if re.fullmatch(r"critic\.qf0\.\d+\.bias", name)][:-1]
    critics = sorted({int(found[1]) for name in weights if (found := re.match(r"critic\.qf(\d+)\.", name))})
    fixed = variables.get("ent_coef_tensor")
    module = SACModule(
        obs,
        action,
        temperature=LearnedTemperature() if fixed is None else Fixed(float(fixed)),
        actor=ActorConfig(hidden_sizes=hidden),
        critic=CriticConfig(hidden_sizes=wide, num_critics=len(critics)),
    )
    head = module.sac.head
    if not isinstance(head, TanhNormal):
        refuse(f"is for a Box of actions; the env has {action}")
    state = module.sac.state_dict()
    try:
        for i in range(len(hidden)):
            _put(state, f"actor.torso.linear.{i}", [_layer(weights, f"actor.latent_pi.{2 * i}")])
        mean, log_std = (_layer(weights, f"actor.{name}") for name in ("mu", "log_std"))
        (weight, bias), (scale_weight, scale_bias) = mean, _as_scaled_tanh(*log_std, head)
        both = torch.cat((weight, scale_weight)), torch.cat((bias, scale_bias))
        _put(state, "actor.output", [both])
        for ours, theirs in (("critic", "critic"), ("target_critic", "critic_target")):
            for i in range(len(wide) + 1):
                layers = [_layer(weights, f"{theirs}.qf{n}.{2 * i}") for n in critics]
                _put(state, f"{ours}.torso.linear.{i}" if i < len(wide) else f"{ours}.output", layers)
    except (KeyError, RuntimeError) as error:
        refuse(f"does not fit an env with {obs} and {action} ({one_line(error)[:100]})")
    if fixed is None:
        state["log_alpha"].copy_(variables["log_ent_coef"].detach()[0])
    module.sac.load_state_dict(state)
    return module


Layer = tuple[Tensor, Tensor]  # weight [out, in], bias [out]


def _tensors(archive: ZipFile, name: str) -> dict[str, Any]:
    with archive.open(name) as file:
        found = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(found, dict):
        raise ValueError(f"{name} is no dict")
    return found


def _layer(weights: dict[str, Tensor], name: str) -> Layer:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _put(state: dict[str, Tensor], name: str, layers: list[Layer]) -> None:
    """Copies the layers of N networks to a layer of ours: weight [N, in, out], bias [N, 1, out]."""
    weights, biases = (torch.stack(list(each)) for each in zip(*layers, strict=True))
    for own, found in ((f"{name}.weight", weights.mT), (f"{name}.bias", biases[:, None])):
        if state[own].shape != found.shape:
            raise RuntimeError(f"{own} has shape {list(found.shape)}, needed is {list(state[own].shape)}")
        state[own].copy_(found)


def _as_scaled_tanh(weight: Tensor, bias: Tensor, head: TanhNormal) -> Layer:
    """Returns a layer whose scaled tanh has the value and slope of x = weight · h + bias at x = bias."""
    half = 0.5 * (head.log_std_max - head.log_std_min)
    share = ((bias - head.log_std_min) / half - 1.0).clamp(-0.99, 0.99)  # tanh of the new bias
    slope = half * (1.0 - share.square())
    return weight / slope[:, None], torch.atanh(share)
