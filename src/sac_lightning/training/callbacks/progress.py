"""A progress bar for the whole run, counted in env steps."""

import logging
import math
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from sac_lightning.core.fields import Number, check_arguments
from sac_lightning.core.screen import screen
from sac_lightning.training.datamodule import data_of
from sac_lightning.training.lightning_package import LightningModule, ProgressBar, Trainer

SHORTEST_BAR = 6
# The speed is that of the last minute: the random warm-up is far faster than what follows.
SPEED_WINDOW_S = 60.0


class RunProgress(ProgressBar):
    """Shows env steps, returns, α, entropy and speed on one line; it replaces Lightning's own bars.

    The numbers come from `trainer.datamodule.env_steps` and `total_env_steps`, and from
    `trainer.lightning_module.latest`.

    Args:
        refresh_per_second: how often the line is redrawn, above 0 and at most 4.
        live: redraw one line in a terminal. Elsewhere (a file, a pipe, a cluster's log), and with False,
            every epoch prints one plain line.
        console: where to print; None for stderr.
    """

    @check_arguments()
    def __init__(
        self,
        refresh_per_second: Annotated[float, Number("(0, 4]")] = 4.0,
        live: bool = True,
        console: Console | None = None,
    ) -> None:
        super().__init__()
        self._console = console if console is not None else screen()
        self._every_s = 1.0 / refresh_per_second
        self._enabled, self._may_redraw = True, live
        self._live: Live | None = None
        self._open = ExitStack()
        self._next_s = math.inf
        self._started_s = 0.0
        self._seen: deque[tuple[float, int]] = deque()
        self._printed_steps = -1

    @override
    def disable(self) -> None:
        self._enabled = False
        self._stop()

    @override
    def enable(self) -> None:
        self._enabled = True

    @override
    def print(self, *args: Any, **kwargs: Any) -> None:
        known = {key: kwargs[key] for key in ("sep", "end") if key in kwargs}
        self._console.print(*args, markup=False, highlight=False, **known)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started_s = time.monotonic()
        self._seen = deque([(self._started_s, self._env_steps)])
        self._printed_steps = self._env_steps
        self._updates_before, self._updating = trainer.global_step, False
        if self._enabled and self._may_redraw and self._console.is_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                # From a thread: a compiler may keep this one busy for half a minute.
                auto_refresh=True,
                refresh_per_second=1,
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=sys.stderr.isatty(),
            )
            self._open.enter_context(self._live)
            self._open.enter_context(_log_lines_above())
            self._refresh()

    @override
    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if not self._updating and trainer.global_step > self._updates_before:
            # The random steps before were far faster, and the first update may have compiled.
            self._updating = True
            self._seen = deque([(time.monotonic(), self._env_steps)])
        if time.monotonic() >= self._next_s:
            self._refresh()

    on_validation_batch_end = on_train_batch_end

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._live is not None:
            self._refresh()
        elif self._enabled:
            self._print_line()

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._live is None and self._enabled and self._printed_steps != self._env_steps:
            self._print_line()
        self._stop()

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stop()

    @property
    def _env_steps(self) -> int:
        return data_of(self.trainer).env_steps

    @property
    def _total(self) -> int:
        return data_of(self.trainer).total_env_steps

    @property
    def _latest(self) -> Mapping[str, float]:
        latest: Mapping[str, float] = getattr(self.trainer.lightning_module, "latest", {})
        return {key: value for key, value in latest.items() if math.isfinite(value)}

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.refresh()
            self._next_s = time.monotonic() + self._every_s

    def _stop(self) -> None:
        if self._live is not None:
            self._refresh()
            self._open.close()
            self._live, self._next_s = None, math.inf

    def _print_line(self) -> None:
        self._printed_steps = self._env_steps
        speed, left_s = self._pace()
        percent = 100 * self._env_steps / max(self._total, 1)
        texts = [
            f"env_steps {self._env_steps:,}/{self._total:,} ({percent:.0f} %)",
            *_latest_texts(self._latest, ascii_only=True),
            f"{speed:,.0f} steps/s",
            f"{_clock(time.monotonic() - self._started_s)} elapsed",
            f"{_clock(left_s)} left",
        ]
        # One line in a log stays one line, however narrow the console seems to be.
        self._console.print(", ".join(texts), markup=False, highlight=False, soft_wrap=True)

    def _pace(self) -> tuple[float, float]:
        """Return the env steps per second of the last minute, and the seconds left at that speed."""
        now, steps, seen = time.monotonic(), self._env_steps, self._seen
        seen.append((now, steps))
        while len(seen) > 2 and now - seen[1][0] > SPEED_WINDOW_S:
            seen.popleft()
        since_s, since_steps = seen[0]
        speed = (steps - since_steps) / max(now - since_s, 1e-9)
        left = max(self._total - steps, 0)
        if left and not (self._updating and speed > 0):  # the speed of the warm-up says nothing
            return speed, math.nan
        return speed, left / speed if left else 0.0

    def _layouts(self) -> Iterator[list[str]]:
        """Yield the texts beside the bar, from all in full to the counter and the clock alone."""
        speed, left_s = self._pace()
        count, left = f"{self._env_steps:,}/{self._total:,}", f"<{_clock(left_s)}"
        percent = f"{100 * self._env_steps / max(self._total, 1):.0f} %"
        times = _clock(time.monotonic() - self._started_s) + left
        ascii_only, pace = self._console.options.ascii_only, f"{speed:,.0f}/s"
        full, short = (_latest_texts(self._latest, ascii_only, each) for each in (False, True))
        yield [count, *full, pace, times]
        yield [count, *short, pace, times]
        yield [count, *short, pace, left]
        yield [percent, *short, pace, left]
        for kept in range(len(short), -1, -1):
            yield [count, *short[:kept], times]
            yield [count, *short[:kept], left]

    def _fits(self, texts: list[str]) -> bool:
        return len(texts) == 2 or _width(*texts) + SHORTEST_BAR <= self._console.width

    def _render(self) -> Table:
        """Draw the bar in the room that the texts leave; a narrow terminal has shorter or fewer ones."""
        texts = next(each for each in self._layouts() if self._fits(each))
        room = max(self._console.width - _width(*texts) - 1, 1)
        line = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        styles = ["bold", *["none"] * (len(texts) - 2), "dim"]
        bar = Bar(total=max(self._total, 1), completed=min(self._env_steps, self._total), width=room)
        line.add_column(no_wrap=True)
        for _ in texts:
            line.add_column(no_wrap=True)
        line.add_row(bar, *(Text(text, style) for text, style in zip(texts, styles, strict=True)))
        return line


def _latest_texts(latest: Mapping[str, float], ascii_only: bool = False, short: bool = False) -> list[str]:
    """Write return, temperature and entropy, the most important first, each only where it is known."""
    alpha, entropy, arrow = ("alpha", "entropy", "->") if ascii_only else ("α", "H", "→")
    texts = []
    rollout = f"{latest['rollout/return_mean']:.1f}" if "rollout/return_mean" in latest else ""
    if "eval/return_mean" in latest:
        number = latest.get("eval/episodes", 0.0)
        episodes = f"{number:.0f} episode{'' if number == 1.0 else 's'}" if number else ""
        beside = ", ".join(each for each in (episodes, f"rollout {rollout}" if rollout else "") if each)
        beside = f" ({beside})" if beside and not short else ""
        texts.append(f"return {latest['eval/return_mean']:.1f}{beside}")
    elif rollout:
        texts.append(f"rollout {rollout}")
    if "train/alpha" in latest:
        texts.append(f"{alpha} {latest['train/alpha']:.3g}")
    if "train/entropy" in latest:
        target = f"{arrow}{latest['train/target_entropy']:.2f}" if "train/target_entropy" in latest else ""
        texts.append(f"{entropy} {latest['train/entropy']:.2f}{target}")
    return texts


def _width(*texts: str) -> int:
    return sum(len(text) + 2 for text in texts)


def _clock(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "-:--:--"
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


@contextmanager
def _log_lines_above() -> Iterator[None]:
    """Let log handlers made before the bar write above it: their streams are those that it has replaced."""
    replaced = {id(sys.__stdout__): sys.stdout, id(sys.__stderr__): sys.stderr}
    names = ("", "pytorch_lightning", "lightning", "sac_lightning")
    handlers = [
        h for name in names for h in logging.getLogger(name).handlers if isinstance(h, logging.StreamHandler)
    ]
    before = [(handler, handler.stream) for handler in handlers if id(handler.stream) in replaced]
    for handler, stream in before:
        handler.setStream(replaced[id(stream)])
    try:
        yield
    finally:
        for handler, stream in before:
            handler.setStream(stream)
