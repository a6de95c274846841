"""collector=ray from the command line: a cluster that does not answer, and an address in a run's folder."""

import json
import socket
import time
from pathlib import Path

import psutil
import pytest

from .conftest import TINY, Command, Server


def test_address_without_a_cluster_is_a_mistake(train: Command, server: Server) -> None:
    before = psutil.Process(server.process.pid).children(recursive=True)
    ended = train(*TINY, "collector=ray", "collector.address=127.0.0.1:1", "steps_per_epoch=40")
    assert ended.code == 2, ended.err
    assert "collector.address=127.0.0.1:1: no Ray cluster: " in ended.err.splitlines()[-1]
    assert "refused" in ended.err
    assert "Traceback" not in ended.err
    assert set(psutil.Process(server.process.pid).children(recursive=True)) <= set(before)


@pytest.mark.slow  # Ray waits three times five seconds
def test_address_where_nothing_answers_is_a_mistake_after_a_while(train: Command) -> None:
    with socket.create_server(("", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        ended = train(*TINY, "collector=ray", f"collector.address={address}", "steps_per_epoch=40")
    assert ended.code == 2, ended.err
    assert f"collector.address={address}: no Ray cluster: " in ended.err.splitlines()[-1]
    assert time.monotonic() - started < 60


def test_address_of_a_cluster_is_taken_from_the_command_line_alone(train: Command, tmp_path: Path) -> None:
    assert train(*TINY, "hydra.run.dir=run").code == 0
    config = tmp_path / "run" / "config.yaml"
    text = config.read_text()
    assert "\n  address: null\n" in text
    config.write_text(text.replace("\n  address: null\n", "\n  address: 127.0.0.1:1\n"))
    ended = train("resume=run", "total_env_steps=90")
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["env_steps"] == 90
    ended = train("resume=run", "total_env_steps=120", "collector.address=127.0.0.1:1")
    assert (ended.code, ended.err.startswith("error: collector.address=127.0.0.1:1: ")) == (2, True)
