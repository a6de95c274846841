"""`python lab.py` as a real process."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import ROOT, Server, process_env, server, told

__all__ = ["process_env", "server"]  # fixtures


def test_two_processes_and_one_write_the_same_files(
    tmp_path: Path, server: Server, process_env: dict[str, str]
) -> None:
    arguments = ("only=a,d,e", "budget=0.02", "seed=3")
    line = [sys.executable, str(ROOT / "lab.py"), *arguments, "out=two", "jobs=2"]
    done = subprocess.run(line, cwd=tmp_path, env=process_env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4/4" in done.stdout
    assert "about 0:00 left" in done.stdout
    ended = server.call("lab", tmp_path, (*arguments, "out=one", "jobs=1"))
    assert ended.code == 0, ended.err
    files = sorted(str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*.*"))
    assert [name for name in files if name.endswith("png")] == [
        "figures/a_thermostat.png",
        "figures/d_squashed.png",
        "figures/e_gradients.png",
    ]
    assert len(files) == 8  # three figures, three tables, numbers.csv, lab.html
    one, two = tmp_path / "one", tmp_path / "two"
    assert [each for each in files if (one / each).read_bytes() != (two / each).read_bytes()] == []


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("only=a,z", "only=a,z: must be letters of a, b, c, d, e, f, g, h, such as only=a,d"),
        ("budget=2", "budget=2: must be a number in (0, 1]"),
        ("jobs=0", "jobs=0: must be auto or a whole number of at least 1"),
        ("-m", "-m: the lab has seeds of its own; call it once for each first seed"),
        ("seed=-1", "seed=-1: must be a whole number of at least 0"),
        (
            "out=/proc/nope",
            "out=/proc/nope: cannot be written (No such file or directory): name another folder",
        ),
        ("measure=false", "measure=false: there is no docs/lab/a_thermostat.csv: run with measure=true"),
    ],
)
def test_mistake_is_one_line(argument: str, line: str, tmp_path: Path, server: Server) -> None:
    assert told(server.call("lab", tmp_path, (argument,))) == line
    assert list(tmp_path.iterdir()) == []
