"""One bar a run, by a real Trainer: what it shows, where it starts, what it costs."""

import contextlib
import io
import logging
import math
import os
import re
import subprocess
import sys
import textwrap
import time
import types
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console
from torch.utils.data import DataLoader

from sac_lightning.core.errors import ConfigError
from sac_lightning.training.callbacks import PlotCallback, RunProgress
from sac_lightning.training.loggers import MetricsCSV

EPOCHS, BATCHES = 3, 20


class Tiny(pl.LightningModule):
    """Counts, and says what a learner would say."""

    def __init__(self, fail_at: int = -1) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.fail_at = fail_at
        self.latest: dict[str, float] = {}

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        data = self.trainer.datamodule
        data.env_steps += 10
        self.latest |= {"train/alpha": 0.25, "train/entropy": -0.5, "train/target_entropy": -1.0}
        self.latest |= {"rollout/return_mean": -200.0, "train/q_mean": float("nan")}
        if data.env_steps == self.fail_at:
            logging.getLogger("tiny").warning("about to fail")
            raise RuntimeError("failed on purpose")

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.latest |= {"eval/return_mean": -150.0, "eval/return_std": 5.0, "eval/episodes": 10.0}
        for logger in self.trainer.loggers:
            logger.log_metrics(self.latest, self.trainer.datamodule.env_steps)

    def configure_optimizers(self) -> None:
        return None


class TinyData(pl.LightningDataModule):
    total_env_steps = EPOCHS * BATCHES * 10

    def __init__(self, env_steps: int = 0) -> None:
        super().__init__()
        self.env_steps = env_steps

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.zeros(BATCHES, 1))

    def val_dataloader(self) -> DataLoader:
        return DataLoader(torch.zeros(1, 1))


def fit(progress, tmp_path, *, data=None, module=None, callbacks=(), logger=False, epochs=EPOCHS):
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=[progress, *callbacks],
        accelerator="cpu",
        logger=logger,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(module or Tiny(), data or TinyData())
    return trainer


def console(width: int = 140, terminal: bool = True) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, legacy_windows=False
    )


def frames(shown: Console) -> list[str]:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.file.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def test_the_bar_shows_the_run_and_stays_when_it_ends(tmp_path):
    shown = console()
    trainer = fit(RunProgress(console=shown), tmp_path)
    assert trainer.progress_bar_callback is not None
    first, *_, last = frames(shown)
    assert "0/600" in first
    assert "600/600" in last
    assert "return -150.0 (10 episodes, rollout -200.0)" in last
    assert "α 0.25  H -0.50→-1.00" in last
    assert re.search(r"\d/s  0:00:\d\d<0:00:00$", last)
    assert shown.file.getvalue().endswith("\n\x1b[?25h")  # below the bar, with the cursor shown again


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
def test_the_bar_is_one_line_in_every_terminal(tmp_path, width):
    shown = console(width)
    fit(RunProgress(console=shown), tmp_path, epochs=1)
    assert shown.file.getvalue().count("\n") == 1
    assert max(map(len, frames(shown))) <= width
    if width >= 40:
        assert "200/600" in frames(shown)[-1]
    if width >= 80:
        assert re.search(r"return -150.0.*α 0.25  H -0.50→-1.00  [\d,]+/s", frames(shown)[-1])


def test_the_clock_ticks_while_a_compiler_keeps_the_first_update(tmp_path):
    class Slow(Tiny):
        def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
            super().training_step(batch, batch_idx)
            if batch_idx == 0 and self.trainer.current_epoch == 0:
                time.sleep(2.5)

    shown = console()
    fit(RunProgress(console=shown), tmp_path, module=Slow(), epochs=1)
    assert {"0:00:01", "0:00:02"} <= set(re.findall(r"(0:00:\d\d)<-:--:--", shown.file.getvalue()))


def test_warm_up_and_compiling_do_not_count_in_the_time_left(monkeypatch):
    clock = iter([0.0, 1.0, 40.0, 40.0, 41.0, 42.0])
    monkeypatch.setattr("sac_lightning.training.callbacks.progress.time.monotonic", lambda: next(clock))
    progress, data = RunProgress(console=console(terminal=False)), TinyData()
    trainer = types.SimpleNamespace(datamodule=data, global_step=0)
    progress._trainer = trainer
    progress.on_train_start(trainer, Tiny())
    data.env_steps = 100  # after one second of random steps
    assert math.isnan(progress._pace()[1])
    data.env_steps, trainer.global_step = 110, 1  # the first updates, after 40 s with the compiler
    progress.on_train_batch_end(trainer)
    data.env_steps = 120  # ten steps in a second: 48 s are left
    assert progress._pace() == (10.0, 48.0)


def test_a_resumed_run_starts_where_it_was(tmp_path):
    shown = console()
    fit(RunProgress(console=shown), tmp_path, data=TinyData(env_steps=400), epochs=1)
    assert "400/600" in frames(shown)[0]
    assert "600/600" in frames(shown)[-1]


def test_without_a_terminal_every_epoch_is_one_plain_line(tmp_path):
    shown = console(width=40, terminal=False)
    fit(RunProgress(console=shown), tmp_path)
    lines = shown.file.getvalue().splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "env_steps 200/600 (33 %)",
        "env_steps 400/600 (67 %)",
        "env_steps 600/600 (100 %)",
    ]
    assert "return -150.0 (10 episodes, rollout -200.0), alpha 0.25, entropy -0.50->-1.00, " in lines[0]
    assert lines[-1].endswith(" elapsed, 0:00:00 left")
    assert "\x1b" not in shown.file.getvalue()


def test_a_failure_leaves_the_bar_and_gives_the_terminal_back(tmp_path):
    shown, streams = console(), (sys.stdout, sys.stderr)
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(RunProgress(console=shown), tmp_path, module=Tiny(fail_at=250))
    assert (sys.stdout, sys.stderr) == streams
    assert "250/600" in frames(shown)[-1]
    assert shown.file.getvalue().endswith("\n\x1b[?25h")


def test_disabled_it_is_silent(tmp_path):
    for terminal in (True, False):
        shown = console(terminal=terminal)
        progress = RunProgress(console=shown)
        progress.disable()
        fit(progress, tmp_path, epochs=1)
        assert shown.file.getvalue() == ""


def test_a_batch_costs_one_look_at_the_clock(tmp_path):
    shown = console()
    progress = RunProgress(console=shown)
    trainer = fit(progress, tmp_path, epochs=1)
    progress.on_train_start(trainer, trainer.lightning_module)
    began, calls = time.perf_counter(), 20_000
    drawn = shown.file.getvalue().count("200/600")
    for _ in range(calls):
        progress.on_train_batch_end(trainer, trainer.lightning_module, None, None, 0)
    spent = time.perf_counter() - began
    redrawn = shown.file.getvalue().count("200/600") - drawn
    progress.teardown(trainer, trainer.lightning_module, "fit")
    assert redrawn <= 4 * spent + 1
    # An update takes 4 ms or more: 2 % of it is 80 µs.
    assert spent / calls < 80e-6


def test_faster_than_four_times_a_second_is_refused():
    with pytest.raises(ConfigError, match="refresh_per_second=5"):
        RunProgress(refresh_per_second=5)


def test_the_plots_are_drawn_while_and_after_a_fit(tmp_path):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    plots = PlotCallback(tmp_path / "plots", every_n_epochs=2)
    drawn = []
    draw = plots.draw
    plots.draw = lambda trainer: (drawn.append(trainer.current_epoch), draw(trainer))
    fit(RunProgress(console=console()), tmp_path, callbacks=[plots], logger=[logger])
    assert drawn == [1, EPOCHS]
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"learning_curve.png", "temperature.png"}


def test_a_plot_that_fails_warns_and_training_goes_on(tmp_path):
    (tmp_path / "plots").write_text("a file where the directory should be")
    logger = MetricsCSV(tmp_path / "metrics.csv")
    with pytest.warns(RuntimeWarning, match="could not be drawn"):
        trainer = fit(
            RunProgress(console=console()),
            tmp_path,
            callbacks=[PlotCallback(tmp_path / "plots")],
            logger=[logger],
        )
    assert trainer.current_epoch == EPOCHS


TERMINAL = """
    import logging, sys
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING)
    sys.path.insert(0, {here!r})
    from test_progress import RunProgress, Tiny, fit
    try:
        fit(RunProgress(), {dir!r}, module=Tiny(fail_at=250))
    except RuntimeError:
        logging.warning("after the bar")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_log_lines_stand_above_the_bar_in_a_real_terminal(tmp_path):
    import pty

    source = Path(__file__).parents[3] / "src"
    code = textwrap.dedent(TERMINAL.format(here=str(Path(__file__).parent), dir=str(tmp_path)))
    environment = os.environ | {"PYTHONPATH": str(source), "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    here, there = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=there, stderr=there, env=environment)
    os.close(there)
    seen = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while chunk := os.read(here, 65536):
            seen += chunk
    os.close(here)
    assert process.wait(60) == 0
    text = seen.decode()
    # The bar's line is erased before the log line is written in its place, and drawn again below it.
    assert re.search(r"\x1b\[2K(\x1b\[\d*m)*WARNING:tiny:about to fail *\r\n", text)
    assert "250/600" in text.partition("about to fail")[2]
    assert re.search(r"[\r\n](\x1b\[[?0-9]*[a-z])*WARNING:root:after the bar\r\n$", text)
