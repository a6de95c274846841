"""How much memory a replay buffer needs, and whether there is as much."""

import math

import psutil
import torch

from sac_lightning.core.errors import require
from sac_lightning.spaces import ActionSpec, ObsSpec

GIB = 1024**3
LEAVE_FREE = 0.05  # of the machine's memory, for everything else


def planned_bytes(capacity: int, obs: ObsSpec, action: ActionSpec, frames: int = 0) -> int:
    """Returns the bytes of `capacity` transitions: obs, next_obs, action and 12 bytes for the rest.

    With `frames` in an observation one of them for each transition, and the numbers of all: an episode's end
    needs one more, and its beginning up to `frames`.
    """
    shape, kind = action.row
    of_obs, of_action = (getattr(torch, dtype).itemsize for dtype in (obs.dtype, kind))
    of_obs *= obs.size
    seen: int = of_obs // frames + 8 + 2 * 8 * frames if frames else 2 * of_obs
    row_bytes: int = seen + math.prod(shape) * of_action + 4 + 1 + 1 + 2 + 4
    return capacity * row_bytes


def check_fits(
    capacity: int,
    obs: ObsSpec,
    action: ActionSpec,
    device: torch.device,
    prior_rows: int = 0,
    frames: int = 0,
) -> int:
    """Returns the planned bytes, or raises a ConfigError that names a capacity that would fit."""
    planned = planned_bytes(capacity + prior_rows, obs, action, frames)
    on_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    room = free - LEAVE_FREE * free
    fits = max(0, math.floor(room / planned * (capacity + prior_rows)) - prior_rows)
    allowed = f"needs {planned / GIB:.2f} GiB of {free / GIB:.2f} GiB that are free: use at most {fits}"
    require(planned <= room, "replay.capacity", capacity, allowed)
    return planned
