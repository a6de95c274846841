"""docs/pendulum.ipynb was executed, is small, and runs again."""

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "pendulum.ipynb"


def check(notebook: Any) -> None:
    """The curves are a picture, the film a video, and the training says a line for each of eight epochs."""
    shown = {
        cell["id"]: [each.get("data", each) for each in cell["outputs"]]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    }
    assert "image/png" in shown["curves"][0]
    assert "<video" in "".join(shown["film"][-1]["text/html"])
    lines = ["".join(each["text/plain"]) for each in shown["train"]]
    assert len(lines) == 8 and all(line.startswith("env_steps") for line in lines)
    assert [len(outputs) for outputs in shown.values()] == [0, 8, 1, 1]


def test_the_notebook_is_kept_executed_and_small() -> None:
    check(json.loads(FILE.read_text(encoding="utf-8")))
    assert FILE.stat().st_size < 400_000


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(FILE, as_version=4)
    (setup,) = (cell for cell in notebook.cells if cell.id == "setup")
    assert "total_env_steps = 4000" in setup.source
    setup.source = setup.source.replace("4000", "400")  # fewer steps
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    check(notebook)
