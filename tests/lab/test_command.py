"""`python lab.py`: the mistakes in this process, a run in real ones."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import ROOT, process_env

from entropy_lab.command import Options, command

__all__ = ["process_env"]  # a fixture


@pytest.mark.slow
def test_two_processes_and_one_write_the_same_files(tmp_path: Path, process_env: dict[str, str]) -> None:
    for out, jobs in (("two", 2), ("one", 1)):
        arguments = ("only=a,d,e", "budget=0.02", "seed=3", f"out={out}", f"jobs={jobs}")
        line = [sys.executable, str(ROOT / "lab.py"), *arguments]
        ended = subprocess.run(
            line, cwd=tmp_path, env=process_env, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert "4/4" in ended.stdout
        assert "about 0:00 left" in ended.stdout
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
        ("budget=nan", "budget=nan: must be a number in (0, 1]"),
        ("jobs=0", "jobs=0: must be auto or a whole number of at least 1"),
        ("-m", "-m=: is no argument of the lab. Known are seed, only, budget, jobs, measure, out."),
        ("sed=1", "sed=1: is no argument of the lab. Did you mean seed?"),
        ("seed=-1", "seed=-1: must be a whole number of at least 0"),
        ("measure=no", "measure=no: must be true or false"),
        ("out=", "out=: must name a folder"),
        (
            "out=/proc/nope",
            "out=/proc/nope: cannot be written (No such file or directory): name another folder",
        ),
        ("measure=false", "measure=false: there is no docs/lab/a_thermostat.csv: run with measure=true"),
    ],
)
def test_mistake_is_one_line(
    argument: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command([argument]) == 2
    assert tuple(capsys.readouterr()) == ("", f"error: {line}\n")
    assert list(tmp_path.iterdir()) == []


def test_arguments_are_those_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("seed=1e3", "only=a, d", "budget=0.5", "jobs=3", "measure=false", "out=a=b, c")
    found = Options.parse(given)
    assert found == Options(1000, ("a", "d"), 0.5, 3, False, Path("a=b, c"))
    assert command(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"    {argument.partition('=')[0]}=" in shown for argument in given)


def test_command_begins_without_pytorch(process_env: dict[str, str]) -> None:
    modules = "[m for m in ('torch', 'scipy') if m in sys.modules]"
    line = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import lab; print({modules})"
    ended = subprocess.run(
        [sys.executable, "-c", line], env=process_env, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"
