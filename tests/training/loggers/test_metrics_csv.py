"""The metrics file: whole rows in order, exact numbers, whatever happens to the process."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_lightning.training.loggers import MetricsCSV, read_metrics
from sac_lightning.training.loggers.metrics_csv import LEADING_COLUMNS

keys = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=8).filter(
    lambda key: key not in ("epoch", "env_steps")
)
rows = st.lists(
    st.tuples(st.integers(0, 2**53), st.dictionaries(keys, st.floats(width=64), min_size=1, max_size=4)),
    max_size=12,
)


@given(logged=rows, reopen=st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_number_reads_back_exactly(logged, reopen, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "metrics.csv"
    logger, expected = MetricsCSV(path), {}
    for step, metrics in logged:
        logger.log_metrics(metrics, step)
        expected.setdefault(step, {}).update(metrics)
        if reopen:
            logger = MetricsCSV(path)
    logger.finalize("success")

    table = read_metrics(path)
    assert list(table["env_steps"]) == sorted(expected)
    for row, step in enumerate(sorted(expected)):
        for key, column in table.items():
            if key != "env_steps":
                wanted = expected[step].get(key, math.nan)
                assert column[row] == wanted or (math.isnan(wanted) and math.isnan(column[row]))


def test_columns_keep_their_order_and_new_keys_go_last(tmp_path):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"train/alpha": 0.5, "epoch": 3}, 100)
    logger.log_metrics({"z": 1.0, "a": 2.0}, 200)
    header, first, second = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header.split(",") == [*LEADING_COLUMNS, "z", "a"]
    assert first == "100,,,,,0.5,,,,,,,,,"
    assert second == "200,,,,,,,,,,,,,1.0,2.0"


def test_calls_at_one_step_share_a_row(tmp_path):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"train/alpha": torch.tensor(0.25)}, 0)
    logger.log_metrics({"eval/return_mean": -1.0}, 0)
    logger.log_metrics({"train/alpha": 0.125}, 10)
    logger.log_metrics({"eval/return_mean": -2.0, "train/alpha": 0.1}, 10)
    logger.log_metrics({"eval/return_std": 3.0})  # no step: the last row
    table = read_metrics(logger.path)
    assert list(table["env_steps"]) == [0, 10]
    assert list(table["train/alpha"]) == [0.25, 0.1]
    assert list(table["eval/return_mean"]) == [-1, -2]
    assert math.isnan(table["eval/return_std"][0])
    assert table["eval/return_std"][1] == 3


def test_a_logged_env_steps_takes_the_place_of_lightnings_step(tmp_path):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"train/alpha": 0.5, "env_steps": 4000.0}, 7)
    assert list(read_metrics(logger.path)["env_steps"]) == [4000]


def test_the_row_is_on_disk_when_the_call_returns(tmp_path):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    for step in (1, 2, 3):
        logger.log_metrics({"train/alpha": 0.5}, step)
        assert read_metrics(logger.path)["env_steps"][-1] == step


def test_reopening_keeps_the_rows_and_truncating_drops_the_later_ones(tmp_path):
    path = tmp_path / "metrics.csv"
    logger = MetricsCSV(path)
    for step in (10, 20, 30, 40):
        logger.log_metrics({"train/alpha": 1 / step}, step)
    before = path.read_bytes()
    again = MetricsCSV(path)
    assert path.read_bytes() == before
    again.truncate_after(20)
    assert list(read_metrics(path)["env_steps"]) == [10, 20]
    for step in (30, 40):
        again.log_metrics({"train/alpha": 1 / step}, step)
    assert path.read_bytes() == before


def test_a_half_written_last_line_is_dropped_on_opening(tmp_path):
    path = tmp_path / "metrics.csv"
    logger = MetricsCSV(path)
    for step in (10, 20):
        logger.log_metrics({"train/alpha": 1 / step, "time/env_steps_per_s": 99.0}, step)
    whole = path.read_bytes()
    first_row_ends = whole.index(b"\n", whole.index(b"\n10,") + 1) + 1
    for cut in range(first_row_ends, len(whole)):
        path.write_bytes(whole[:cut])
        assert list(read_metrics(path)["env_steps"]) == [10]
        opened = MetricsCSV(path)
        opened.log_metrics({"train/alpha": 1 / 20, "time/env_steps_per_s": 99.0}, 20)
        assert path.read_bytes() == whole


def test_another_kind_of_file_is_left_alone(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n0,1.0\n")
    with pytest.raises(ValueError, match="not a metrics file"):
        MetricsCSV(path)
    assert path.read_text() == "epoch,loss\n0,1.0\n"


def test_a_run_without_rows_leaves_a_header(tmp_path):
    logger = MetricsCSV(tmp_path / "run" / "metrics.csv")
    logger.finalize("success")
    table = read_metrics(logger.path)
    assert tuple(table) == LEADING_COLUMNS
    assert all(column.size == 0 for column in table.values())


WRITER = """
    import sys
    from sac_lightning.training.loggers import MetricsCSV
    logger = MetricsCSV(sys.argv[1])
    for step in range(10_000_000):
        logger.log_metrics({"train/alpha": step + 0.1, "train/entropy": -step - 0.3}, step)
        if step % 50 == 0:
            logger.log_metrics({"eval/return_mean": step + 0.7}, step)
        if step in (100, 200):
            logger.log_metrics({f"extra/{step}": 1.0}, step)
        if step == 300:
            print("ready", flush=True)
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_killed_writer_leaves_whole_rows(tmp_path, delay_s):
    path = tmp_path / "metrics.csv"
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    source = str(Path(__file__).parents[3] / "src")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(delay_s)
        writer.send_signal(signal.SIGKILL)
    MetricsCSV(path)  # mends what the kill left
    assert path.read_bytes().endswith(b"\n")
    table = read_metrics(path)
    steps = table["env_steps"]
    assert len(steps) > 300
    assert np.array_equal(steps, np.arange(len(steps)))
    assert np.array_equal(table["train/alpha"], steps + 0.1)
    assert np.array_equal(table["train/entropy"], -steps - 0.3)
    evaluated = np.isfinite(table["eval/return_mean"])
    assert np.array_equal(table["eval/return_mean"][evaluated], steps[evaluated] + 0.7)
    assert evaluated[::50][:-1].all()
