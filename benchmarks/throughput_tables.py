"""What throughput.py prints: speeds, how near the update alone comes to its limit, where a step goes."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from contestants import BASELINE, JAX, LIMITS
from rich.console import Console
from rich.table import Table as Screen
from tables import Table

Speeds = dict[str, list[float]]  # updates a second of each contestant, one number a round
WIDTH = 132


def csv_of(results: Path, env: str) -> Path:
    """Returns where throughput.py writes its segments."""
    return results / ("throughput.csv" if env == "Pendulum-v1" else f"throughput_{env}.csv")


def read_speeds(results: Path, env: str) -> Speeds:
    """Returns the speeds that throughput.py wrote."""
    speeds: Speeds = {}
    for row in Table(csv_of(results, env), ()).rows:
        speeds.setdefault(row["contestant"], []).append(float(row["updates_per_s"]))
    return speeds


def ratios(speeds: Speeds, name: str, other: str) -> list[float]:
    """Returns how many times as fast as `other` the contestant `name` is, round by round."""
    return [mine / theirs for mine, theirs in zip(speeds[name], speeds[other], strict=True)]


def show_speeds(speeds: Speeds, env: str, console: Console) -> None:
    """Medians, ranges, and ratios to Stable-Baselines3 and sbx: the medians of those within each round."""
    screen = Screen(title=f"{env}, batch 256, networks 256×256, one update an env step")
    screen.add_column("contestant")
    beside = {"× peer": BASELINE, "× sbx": JAX}
    beside = {head: name for head, name in beside.items() if name in speeds}
    for head in ("updates/s, median", "range", *(cell for each in beside for cell in (each, "range"))):
        screen.add_column(head, justify="right")
    for name, values in speeds.items():
        cells = [f"{statistics.median(values):.1f}", _range(values, ".1f")]
        for peer in beside.values():
            cells += _cells(ratios(speeds, name, peer))
        screen.add_row(name, *cells)
    console.print(screen)


def show_limits(speeds: Speeds, console: Console) -> None:
    """The update alone as a share of the matrix products of the same round."""
    pairs = {name: limit for name, limit in LIMITS.items() if name in speeds and limit in speeds}
    if not pairs:
        return
    screen = Screen(title="Updates alone, beside the matrix products of the same round")
    screen.add_column("contestant")
    for head in ("of the products, median", "range"):
        screen.add_column(head, justify="right")
    for name, limit in pairs.items():
        screen.add_row(name, *_cells(ratios(speeds, name, limit)))
    console.print(screen)


def show_parts(name: str, seconds: dict[str, float], console: Console) -> None:
    """Where a step of ours goes, from one segment with clocks in it."""
    parts = {key: seconds[key] for key in ("collecting", "sampling", "logging")}
    parts["Lightning"] = seconds["total"] - sum(seconds[key] for key in ("collecting", "sampling"))
    parts["Lightning"] -= seconds["updating"]
    updates = seconds["updating"] - seconds["logging"]
    around = sum(parts[key] for key in ("collecting", "logging", "Lightning"))
    screen = Screen(title=f"A step of {name}")
    screen.add_column("part")
    for head in ("ms a step", "share"):
        screen.add_column(head, justify="right")
    times = {**parts, "updates": updates, "collecting + logging + Lightning": around}
    for part, spent in times.items():
        if part.startswith("collecting +"):
            screen.add_section()
        screen.add_row(part, f"{1e3 * spent / seconds['env_steps']:.3f}", f"{spent / seconds['total']:.1%}")
    console.print(screen)


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"


def _cells(values: Sequence[float]) -> list[str]:
    return [f"{statistics.median(values):.2f}", _range(values, ".2f")]
