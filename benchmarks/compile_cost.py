"""After how many updates compiling has paid off: where the threshold of `compile=auto` comes from.

    python benchmarks/compile_cost.py

Updates of Pendulum-v1's sizes, batch 256, one thread, each case in a process of its own: compiled with an
empty cache of PyTorch, compiled with a full one, and eager. Times are those of the processor, which other
processes change little. Writes results/compile_cost.csv and prints after how many updates the time saved is
the time that the first update took.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import torch
from tables import Table
from worker_update import BATCH, BATCHES, mini_batches, random_replay, update_of

from sac_lightning import ActorConfig, CriticConfig, SACModule
from sac_lightning.core.hardware import keep_freed_memory
from sac_lightning.envs import action_spec, obs_spec

RESULTS = Path(__file__).resolve().parent / "results" / "compile_cost.csv"
EMPTY, FULL, EAGER = CASES = ("compiled, empty cache", "compiled, full cache", "eager")
COLUMNS = ("width", "case", "first_s", "update_ms", "pays_after")


def processor_time(function: Callable[[], object]) -> float:
    """Seconds that the processor works for a call, with the compilers that it starts."""

    def now() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    began = now()
    function()
    return now() - began


def measure(width: int, compiled: bool, rounds: int, updates: int) -> dict[str, float]:
    """Seconds of the first update, milliseconds of a later one, the median of the rounds."""
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with gym.make("Pendulum-v1") as env:
        specs = obs_spec(env.observation_space), action_spec(env.action_space)
    actor, critic = (kind(hidden_sizes=(width, width)) for kind in (ActorConfig, CriticConfig))
    module = SACModule(*specs, actor=actor, critic=critic)
    replay = random_replay(module)
    update, batches = update_of(module, replay), mini_batches(replay)
    noise = torch.randn(BATCHES, 2, BATCH, module.sac.head.noise_size)
    module.sac.write_out_optimizers(compiled)

    def run(count: int) -> None:
        for g in range(count):
            index, drawn = batches[g % BATCHES], noise[g % BATCHES]
            if compiled:
                update(index, drawn)
            else:
                module.sac.update(replay.gather(index), drawn)

    first = processor_time(lambda: run(1))
    run(updates)
    later = [processor_time(lambda: run(updates)) for _ in range(rounds)]
    return {"first_s": first, "update_ms": 1e3 * statistics.median(later) / updates}


def main() -> int:
    """Measure every case in a process of its own, write and print the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 256], help="of two hidden layers")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, default=100, help="of one round")
    parser.add_argument("--case", choices=CASES, help="measure it in this process")
    arguments = parser.parse_args()
    counts = arguments.rounds, arguments.updates
    if arguments.case:
        print(json.dumps(measure(arguments.widths[0], arguments.case != EAGER, *counts)))
        return 0
    table = Table(RESULTS, COLUMNS)
    for width in arguments.widths:
        found = {}
        with tempfile.TemporaryDirectory() as cache:
            for case in CASES:
                command = [sys.executable, __file__, "--widths", str(width), "--case", case]
                command += [f"--rounds={counts[0]}", f"--updates={counts[1]}"]
                env = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
                found[case] = json.loads(
                    subprocess.check_output(command, env=env, text=True).splitlines()[-1]
                )
        for case, row in found.items():
            saved_ms = found[EAGER]["update_ms"] - row["update_ms"]
            pays = "" if case == EAGER else round(1e3 * row["first_s"] / saved_ms)
            row |= {"width": width, "case": case, "pays_after": pays}
            table.add([row], replacing=lambda old, new=(str(width), case): (old["width"], old["case"]) == new)
            print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
