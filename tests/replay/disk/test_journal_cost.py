"""A save costs what is new, however large the buffer; a load needs no second buffer."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sac_lightning.replay import ReplayBuffer, planned_bytes
from sac_lightning.replay.disk.journal import Journal
from sac_lightning.spaces import BoxAction, ObsSpec

OBS, ACTION = ObsSpec((17,), "float32"), BoxAction((-1.0,) * 6, (1.0,) * 6, (6,))

# The memory of a process that loads, in bytes over what it needed before; fresh, so that its peak is its own.
LOAD = """
import json, sys, time
from pathlib import Path
from sac_lightning.replay.buffer import ReplayBuffer
from sac_lightning.replay.disk.journal import Journal
from sac_lightning.spaces import BoxAction, ObsSpec
directory, capacity, manifest = sys.argv[1], int(sys.argv[2]), json.load(sys.stdin)
status = lambda: Path("/proc/self/status").read_text()  # getrusage would return the parent's peak
peak = lambda: int(status().partition("VmHWM:")[2].split()[0]) * 1024
replay = lambda capacity: ReplayBuffer.of(
    capacity, ObsSpec((17,), "float32"), BoxAction((-1.0,) * 6, (1.0,) * 6, (6,)), seed=0
)
Journal(directory).load(replay(1000), manifest[-1:], manifest[-1]["end"])
before, start = peak(), time.perf_counter()
Journal(directory).load(replay(capacity), manifest, manifest[-1]["end"])
print(json.dumps([peak() - before, time.perf_counter() - start]))
"""


def collect(replay: ReplayBuffer, count: int) -> None:
    rng = np.random.default_rng(replay.added)
    obs = rng.random((count, 17), dtype=np.float32)
    replay.add(obs, rng.random((count, 6), dtype=np.float32), obs[:, 0], obs, obs[:, 0] < 0.1)


def test_saving_a_thousand_transitions_of_a_million_buffer_is_quick(tmp_path: Path) -> None:
    replay, journal = ReplayBuffer.of(1_000_000, OBS, ACTION, seed=0), Journal(tmp_path)
    seconds = []
    for _ in range(5):
        collect(replay, 1000)
        start = time.perf_counter()
        journal.save(replay)
        seconds.append(time.perf_counter() - start)
    # 10 to 25 ms where it was written, most of it the disk's two syncs.
    assert min(seconds) < 0.05


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_loading_needs_hardly_more_than_the_buffer(tmp_path: Path) -> None:
    capacity = 200_000  # 33 MB; a million rows take 0.7 s and the same 1 MiB of scratch
    replay, journal = ReplayBuffer.of(capacity, OBS, ACTION, seed=0), Journal(tmp_path)
    for _ in range(19):
        collect(replay, 1000)
        journal.save(replay)
    collect(replay, capacity - 20_000)
    journal.save(replay)
    collect(replay, 1000)
    manifest = journal.save(replay)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), str(capacity)],
        input=json.dumps(manifest),
        capture_output=True,
        text=True,
        check=True,
    )
    used, seconds = json.loads(done.stdout)
    assert 0.9 * planned_bytes(capacity, OBS, ACTION) < used <= 1.2 * planned_bytes(capacity, OBS, ACTION)
    assert seconds < 2.0  # 10 s for a million
