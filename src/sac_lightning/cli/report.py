"""`python report.py runs=DIR`, `sac-report`: a report over all runs below a folder."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sac_lightning.cli.train import config_dir, hydra_command
from sac_lightning.core.errors import ConfigError, install, require

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sac_lightning_report import WrittenReport
    from sac_lightning_report.tables import Table

# The packages of the extra `report`.
EXTRA = {"jinja2": "Jinja2", "markupsafe": "MarkupSafe", "scipy": "SciPy"}


def main() -> None:
    """Run the command; exit with 0 done, 2 a mistake in the arguments."""
    sys.exit(command())


def command() -> int:
    """Run the command and return its exit status; a mistake is one line on stderr."""
    sys.argv[1:] = [_as_list(argument) for argument in sys.argv[1:]]
    one = "makes one report at a time; runs=[DIR,DIR] names several folders"
    return hydra_command("report", _job, paths=("out",), path_lists=("runs",), no_multirun=one)


def _as_list(argument: str) -> str:
    """`by=alpha,env` in Hydra's grammar."""
    key, _, value = argument.partition("=")
    if key == "by" and "," in value and not value.startswith("["):
        return f"by=[{value}]"
    return argument


def _job(cfg: "DictConfig") -> tuple[int, float]:
    from sac_lightning.cli.command_line import typed_path

    folders, by = _texts(cfg, "runs"), [] if cfg.by is None else _texts(cfg, "by")
    one = len(folders) == 1
    require(one or cfg.out is not None, "out", cfg.out, "must name a folder when runs= names several")
    out = typed_path(folders[0] if cfg.out is None else str(cfg.out))
    try:
        from sac_lightning_report import option_names, write_report
    except ModuleNotFoundError as error:
        package = EXTRA.get(str(error.name).partition(".")[0])
        if package is None:
            raise
        advice = f"a report needs {package}, which is not installed: {install('report')}"
        raise ConfigError("runs", cfg.runs, advice) from None
    written = write_report(
        [typed_path(folder) for folder in folders], out, by, option_names(Path(config_dir()))
    )
    _print_report(written)
    return 0, float(len(written.results.runs))


def _texts(cfg: "DictConfig", key: str) -> list[str]:
    value: Any = cfg[key]
    items = [value] if isinstance(value, str | int | float) else list(value)
    ok = bool(items) and all(isinstance(item, str | int | float) and str(item) for item in items)
    require(ok, key, value, "must be a name, or a list of them in brackets")
    return [str(item) for item in items]


def _print_report(written: "WrittenReport") -> None:
    from rich.console import Console

    from sac_lightning_report import tables

    console = Console(file=sys.stdout)
    console.print(written.results.headline, markup=False)
    for env in written.results.envs:
        _print_table(console, env.env_id, tables.groups(env).without("final score, mean"))
    if written.results.not_done:
        _print_table(console, "failed, unfinished or damaged", tables.not_done(written.results))
    for path in (written.html, written.markdown):
        console.print(str(path), markup=False, soft_wrap=True)


def _print_table(console: Any, title: str, content: "Table") -> None:
    from rich.markup import escape
    from rich.table import Table as RichTable

    shown = RichTable(title=escape(title), title_justify="left")
    for place, name in enumerate(content.head):
        justify: Any = "right" if place in content.numeric else "left"
        shown.add_column(escape(name), justify=justify, overflow="fold")
    for row in content.rows:
        shown.add_row(*map(escape, row))
    console.print(shown)


if __name__ == "__main__":
    main()
