"""How large a buffer will be, told before a byte of it is allocated."""

import math

import psutil
import torch

from sac_lightning.core.errors import ConfigError
from sac_lightning.spaces import ActionSpec, ObsSpec

GIB = 1024**3
LEAVE_FREE = 0.05  # of the machine's memory, for everything else


def planned_bytes(capacity: int, obs: ObsSpec, action: ActionSpec) -> int:
    """Bytes of `capacity` transitions: obs, next_obs, action and 12 bytes for the other fields."""
    shape, kind = action.row
    row_bytes = 2 * obs.size * _bytes(obs.dtype) + math.prod(shape) * _bytes(kind)
    return capacity * (row_bytes + 4 + 1 + 1 + 2 + 4)


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


def _bytes(dtype: str) -> int:
    size: int = getattr(torch, dtype).itemsize
    return size
