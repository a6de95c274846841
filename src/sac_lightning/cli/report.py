"""`python report.py runs=DIR`, `sac-report`: all runs below a folder in one table."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sac_lightning.cli.train import hydra_command
from sac_lightning.errors import ConfigError
from sac_lightning.files import write_atomically

if TYPE_CHECKING:
    from omegaconf import DictConfig

COLUMNS = (
    *("status", "env_id", "seed", "env_steps", "eval_return_mean", "eval_return_std", "best_return_mean"),
    *("alpha", "entropy", "target_entropy"),
)
Row = dict[str, Any]


def main() -> None:
    """Run the command; exit with 0 done, 2 a mistake in the arguments."""
    sys.exit(command())


def command() -> int:
    """The command's exit status; mistakes are told in one line on stderr."""
    return hydra_command("report", _job)


def _job(cfg: "DictConfig") -> tuple[int, float]:
    from rich.console import Console
    from rich.table import Table

    folder = Path(str(cfg.runs))
    rows = read_runs(folder)
    table = Table("run", *COLUMNS)
    for row in rows:
        table.add_row(row["run"], *(_told(row.get(column)) for column in COLUMNS))
    Console(file=sys.stdout).print(table)
    out = (folder if cfg.out is None else Path(str(cfg.out))) / "report.md"
    write_atomically(out, lambda temporary: temporary.write_text(markdown(rows), encoding="utf-8"))
    return 0, float(len(rows))


def read_runs(folder: Path) -> list[Row]:
    """The summaries of all runs below `folder`, failed ones too, in the order of their paths.

    Raises ConfigError when there is none, or when one cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError("runs", folder, "is no folder: name a sweep's folder, or one with runs below it")
    rows: list[Row] = []
    for path in sorted(folder.rglob("summary.json"), key=lambda path: _natural(path.relative_to(folder))):
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise ConfigError("runs", folder, f"{path} is damaged: it holds no JSON") from None
        rows.append({"run": str(path.parent.relative_to(folder)), **summary})
    if not rows:
        raise ConfigError("runs", folder, "holds no run: no summary.json is below it")
    return rows


def markdown(rows: list[Row]) -> str:
    """The table as Markdown, with the number of runs of each status above it."""
    statuses = [row["status"] for row in rows]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))
    head = ("run", *COLUMNS)
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        lines.append(f"| {' | '.join((row['run'], *(_told(row.get(column)) for column in COLUMNS)))} |")
    return f"# {len(rows)} runs: {counts}\n\n" + "\n".join(lines) + "\n"


def _told(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]
