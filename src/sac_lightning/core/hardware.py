"""What the machine has: devices, CPU threads, a compiler, an allocator."""

import ctypes
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sac_lightning.core.errors import ConfigError, as_whole, require

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
# Of malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# With an empty cache, compiling has paid off after 4,400 to 7,800 updates, whatever the width of the networks
# (benchmarks/compile_cost.py); the rest is for machines that compile more slowly.
WORTH_COMPILING = 10_000


def resolve_device(device: str) -> "torch.device":
    """`auto` is a GPU where there is one. Raises ConfigError for a device that is not here."""
    import torch  # here, since a sweep counts its CPUs without it

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = None
    with suppress(RuntimeError, TypeError):
        chosen = torch.device(device)
    if chosen is None or chosen.type not in ("cpu", "cuda"):
        raise ConfigError("device", device, "must be auto, cpu, cuda or cuda:N")
    here = torch.cuda.device_count()
    ok = chosen.type == "cpu" or (chosen.index or 0) < here
    require(ok, "device", device, f"this machine has {here} CUDA devices; use cpu")
    return chosen


def check_devices(devices: int, device: "torch.device") -> None:
    """Raise ConfigError where there are not so many `devices` of the kind of `device`."""
    import torch

    if devices > 1 and device.type == "cuda":
        here = torch.cuda.device_count()
        require(devices <= here, "devices", devices, f"this machine has {here} CUDA devices")
        require(device.index is None, "device", device, "names one GPU: with several devices use cuda")


def resolve_threads(threads: int | str, processes: int = 1) -> int:
    """`auto` is every CPU that this process may use, shared among so many `processes`."""
    if threads == "auto":
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cpus // processes)
    threads = as_whole(threads)
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ConfigError("threads", threads, "must be auto or a whole number of at least 1")
    return threads


def resolve_compile(setting: bool | str, gradient_updates: int) -> bool:
    """Whether to compile; without a compiler, one line says so and the answer is no."""
    ok = isinstance(setting, bool) or setting == "auto"
    require(ok, "compile", setting, "must be auto, true or false")
    if setting == "auto" and gradient_updates < WORTH_COMPILING:
        return False
    if setting and not has_compiler():
        log.warning("compile=%s: no C++ compiler (g++ or clang++) was found, so the run is eager", setting)
        return False
    return bool(setting)


def has_compiler() -> bool:
    """Whether a C++ compiler is on the PATH, or named by CXX."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)


def keep_freed_memory() -> None:
    """Let this process keep blocks that it frees instead of handing them back to the system.

    An eager update frees and allocates some dozen blocks of 100 kB to 1 MB. glibc returns those at once, and
    the 900 page faults of getting them back cost 2 of 10 ms. Without glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 1 << 30)


def flush_denormals(flush: bool = True) -> bool:
    """Set whether this thread, and those that it starts later, take numbers below 1.2e-38 for 0.

    Adam's mean of a gradient that stays 0, as behind a dead ReLU, shrinks to such numbers within 800 updates
    and then stays at the smallest, where a CPU needs up to 100 times as long: a run of Pendulum-v1 takes a
    quarter longer (benchmarks/denormals.py). Returns what was set before.
    """
    import torch

    before = bool(torch.tensor(1e-40, dtype=torch.float32, device="cpu") * 1.0 == 0.0)
    torch.set_flush_denormal(flush)
    return before


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take numbers below 1.2e-38 for 0 within a context or a function: see flush_denormals."""
    before = flush_denormals()
    try:
        yield
    finally:
        flush_denormals(before)
