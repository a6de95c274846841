"""What people see while a command runs: one console, and log records on it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.text import Text
from typing_extensions import override

STYLES = {logging.WARNING: "yellow", logging.ERROR: "bold red", logging.CRITICAL: "bold red"}


@cache
def screen() -> Console:
    """Return the console on stderr. All share it: what it prints stands above a progress bar of its own."""
    return Console(stderr=True)


@contextmanager
def log_level(level: int, *names: str) -> Iterator[None]:
    """Log what is at least `level` within a context; then the loggers of these names are as before."""
    before = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    try:
        for logger in before:
            logger.setLevel(level)
        yield
    finally:
        for logger, known in before.items():
            logger.setLevel(known)


class ScreenHandler(logging.Handler):
    """Prints each record as text of one piece: a path is never broken by a line's end, so it can be copied.

    Args:
        console: where to print; None for `screen()`.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or screen()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = Text(f"{record.levelname:<8} {self.format(record)}", STYLES.get(record.levelno, ""))
            self._console.print(text, soft_wrap=True)
        except Exception:
            self.handleError(record)
