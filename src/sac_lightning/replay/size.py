"""How large a buffer will be, told before a byte of it is allocated."""

import math

import psutil
import torch

from sac_lightning.errors import ConfigError
from sac_lightning.spaces import ActionSpec, BoxAction, ObsSpec

GIB = 1024**3
LEAVE_FREE = 0.05  # of the machine's memory, for everything else


def planned_bytes(capacity: int, obs: ObsSpec, action: ActionSpec) -> int:
    """Bytes of `capacity` transitions: obs, next_obs, action, reward, terminated, log_prob."""
    obs_bytes = 2 * obs.size * torch.empty(0, dtype=getattr(torch, obs.dtype)).element_size()
    action_bytes = 4 * action.size if isinstance(action, BoxAction) else 8
    return capacity * (obs_bytes + action_bytes + 4 + 1 + 4)


def check_fits(capacity: int, obs: ObsSpec, action: ActionSpec, device: torch.device) -> int:
    """The planned bytes, or a ConfigError that names a capacity that would fit."""
    planned = planned_bytes(capacity, obs, action)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available
    room = free - LEAVE_FREE * free
    if planned > room:
        fits = math.floor(room / (planned / capacity))
        raise ConfigError(
            "replay.capacity",
            capacity,
            f"needs {planned / GIB:.2f} GiB of {free / GIB:.2f} GiB that are free: use at most {fits}",
        )
    return planned
