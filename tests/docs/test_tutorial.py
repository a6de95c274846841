"""docs/tutorial.md, word by word: its files are written, its commands typed, in an empty folder."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = "".join(text for language, text in BLOCKS if not language).splitlines()
# One process, which imports PyTorch once.
TYPE = """
import runpy, shlex, sys
from importlib import import_module
modules = {"sac-train": "train", "sac-eval": "evaluate", "sac-export": "export"}
for line in sys.stdin.read().splitlines():
    name, *sys.argv[1:] = shlex.split(line)
    if name == "python":
        runpy.run_path(sys.argv[1])
    else:
        code = import_module(f"sac_lightning.cli.{modules[name]}").command()
        assert code == 0, f"{line}: {code}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after the last line of the page."""
    folder = tmp_path_factory.mktemp("tutorial")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    install, path, *commands = COMMANDS
    assert install.endswith("'.[export]'") and path == "export PYTHONPATH=$PWD"
    env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT / 'src'}", "COLUMNS": "200"}
    line, text = [sys.executable, "-c", TYPE], "\n".join(commands)
    done = subprocess.run(line, input=text, cwd=folder, env=env, capture_output=True, text=True, timeout=200)
    (folder / "said.txt").write_text(done.stdout)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_env_is_learned(folder: Path) -> None:
    with (folder / "first" / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["eval/return_mean"]]
    returns = [float(row["eval/return_mean"]) for row in rows]
    assert returns[-1] > -4.0
    assert returns[-1] > returns[0] + 5.0


def test_everything_that_the_page_speaks_of_is_there(folder: Path) -> None:
    for name in ("checkpoints/best.ckpt", "plots/temperature.png", "eval.json", "export/policy.onnx"):
        assert (folder / "first" / name).is_file(), name
    assert (folder / "second" / "metrics.csv").is_file()
    said = (folder / "said.txt").read_text().splitlines()
    told = [line.split("sac-eval ")[1] for line in said if line.startswith("evaluate ")]
    assert told == [f"run={folder / name} 'allowed_prefixes=[cart]'" for name in ("first", "second")]
    place, speed = map(float, re.findall(r"-?\d+\.\d*(?:e-?\d+)?", said[-1]))
    assert abs(place) < 0.2 and abs(speed) < 0.2


def test_the_env_is_short() -> None:
    assert len(FILES["cart.py"].splitlines()) <= 30
