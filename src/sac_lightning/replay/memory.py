"""How much room a replay buffer needs, whether there is as much, and how it is taken."""

import math
import mmap
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from sac_lightning.core.errors import ConfigError, require
from sac_lightning.spaces import ActionSpec, ObsSpec

GIB = 1024**3
LEAVE_FREE = 0.05  # of the machine's memory or disk, for everything else
# Linux's, which Python does not name: a mapping may be larger than the memory.
NO_RESERVE = 0x4000 if sys.platform == "linux" else 0


def planned_bytes(capacity: int, obs: ObsSpec, action: ActionSpec, frames: int = 0) -> int:
    """Returns the bytes of `capacity` transitions: obs, next_obs, action and 12 bytes for the rest.

    With `frames` in an observation one of them for each transition, and the numbers of all: an episode's end
    needs one more, and its beginning up to `frames`.
    """
    action_shape, action_dtype = action.row
    obs_bytes = obs.size * np.dtype(obs.dtype).itemsize
    both_obs = obs_bytes // frames + 8 + 2 * 8 * frames if frames else 2 * obs_bytes
    action_bytes = math.prod(action_shape) * np.dtype(action_dtype).itemsize
    return capacity * (both_obs + action_bytes + 4 + 1 + 1 + 2 + 4)


def check_fits(
    capacity: int,
    obs: ObsSpec,
    action: ActionSpec,
    device: torch.device,
    prior_rows: int = 0,
    frames: int = 0,
    folder: Path | None = None,
    ranks: int = 1,
) -> int:
    """Returns the planned bytes, or raises a ConfigError that names a capacity that would fit.

    With a `folder`, which need not exist yet, they are bytes of its disk. Several `ranks` share the rows, and
    each has all prior ones: on GPUs they are the bytes of one rank, else those of all.
    """
    on_gpu = device.type == "cuda"
    rows, prior_rows = (math.ceil(capacity / ranks), prior_rows) if on_gpu else (capacity, prior_rows * ranks)
    planned = planned_bytes(rows + prior_rows, obs, action, frames)
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    if folder is not None:
        folder = folder.absolute()
        free = shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free
    room = free - LEAVE_FREE * free
    fits = max(0, math.floor(room / planned * (rows + prior_rows)) - prior_rows) * (ranks if on_gpu else 1)
    where = " on each GPU" if on_gpu and ranks > 1 else "" if folder is None else f" on the disk of {folder}"
    allowed = f"needs {planned / GIB:.2f} GiB of {free / GIB:.2f} GiB that are free{where}"
    allowed += f": use at most {fits}"
    require(planned <= room, "replay.capacity", capacity, allowed)
    return planned


def mapped_zeros(
    shape: tuple[int, ...], dtype: torch.dtype, folder: Path | None = None, planned: int | None = None
) -> Tensor:
    """Returns zeros that are mapped page by page: memory is taken where they are written.

    With a `folder` they lie in a file there, which has no name: it is gone with the tensor, or with the
    process, however that ends. Raises ConfigError where there is no room.

    Args:
        shape: of the tensor, with its rows first.
        dtype: of its numbers.
        folder: of the file; None for memory.
        planned: rows whose disk space is taken now; None for all. Writing where none is left ends a process.
    """
    size = math.prod(shape) * dtype.itemsize
    try:
        if folder is not None:
            with tempfile.TemporaryFile(dir=folder) as file:
                os.truncate(file.fileno(), size)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size // shape[0] * (planned or shape[0]))
                memory = mmap.mmap(file.fileno(), size)
        elif hasattr(mmap, "MAP_ANONYMOUS"):
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE)
        else:
            return torch.from_numpy(np.zeros(shape, str(dtype).removeprefix("torch.")))
    except OSError as error:
        where = "of addresses, of which few are used" if folder is None else f"in {folder}"
        advice = "use a smaller one" + (", or raise ulimit -v" if folder is None else "")
        allowed = f"needs {size / GIB:.1f} GiB {where}: {error.strerror}; {advice}"
        raise ConfigError("replay.capacity", None, allowed) from None
    return torch.frombuffer(memory, dtype=dtype).view(shape)
