"""`python every_instant.py DIR [--all]`: a run dies at every instant at which it touches the disk.

Without `--all` once for each different thing that it does there, in the middle of the run. Each life is a
fork of this process, which itself makes no update, for PyTorch does not fork after one. The last line of
stdout is JSON: the instants, and those after which the run could not be continued to the same bits.
"""

import json
import logging
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from faults import DIED, Disk, die, fresh, in_a_child
from runs import Run, differences, saved_state

# The ring holds an epoch and a half: rows are overwritten, segments drop out and are pruned.
RUN = Run(
    "CartPole-v1", total_env_steps=60, steps_per_epoch=12, learning_starts=10, capacity=18, lr_schedule=None
)


def live(directory: Path, die_at: int | None = None, log: Path | None = None) -> None:
    """Train to the end, or to the instant `die_at`; `log` receives the names of all instants."""
    disk = Disk(directory, die_at, die)
    disk.install()
    RUN.to_the_end(directory)
    if log is not None:
        log.write_text(json.dumps(disk.seen))


def main(root: Path, every: bool) -> None:
    """Print what happened."""
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # What is imported on the way is imported once, not in each fork.
    replace(RUN, total_env_steps=12, learning_starts=12).to_the_end(fresh(root / "imports"))
    log, whole = root / "instants.json", fresh(root / "whole")
    assert in_a_child(partial(live, whole, log=log)) == 0
    instants, expected = json.loads(log.read_text()), saved_state(whole, RUN.capacity)
    saved = len(instants) - instants[::-1].index("replace .last.ckpt.tmp") - 1
    wrong, chosen = [], range(len(instants)) if every else different_ones(instants)
    for at in chosen:
        directory = fresh(root / "killed")
        killed = in_a_child(partial(live, directory, die_at=at))
        resumed = in_a_child(partial(live, directory))
        different = differences(saved_state(directory, RUN.capacity), expected) if resumed == 0 else ["all"]
        left_over = sorted(path.name for path in directory.rglob(".*.tmp"))
        # After the last checkpoint there is nothing to continue, and so nobody to prune.
        same_files = at > saved or files(directory) == files(whole)
        if (killed, resumed, different, left_over, same_files) != (DIED, 0, [], [], True):
            wrong.append([at, instants[at], killed, resumed, different[:3], left_over, same_files])
    print(json.dumps({"instants": [instants[at] for at in chosen], "wrong": wrong}))


def different_ones(instants: list[str]) -> list[int]:
    """Of those that are called the same, the one in the middle."""
    places: dict[str, list[int]] = {}
    for at, instant in enumerate(instants):
        places.setdefault(instant, []).append(at)
    return sorted(each[len(each) // 2] for each in places.values())


def files(directory: Path) -> list[str]:
    """The names of all files of a run."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--all" in sys.argv)
