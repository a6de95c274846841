"""A checkpoint costs what is new, a resume hardly more memory than the buffer (loosely, a smaller one)."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_checkpoints_and_resume_of_a_large_buffer_are_cheap(tmp_path: Path) -> None:
    # The benchmark itself, copied so that its own results stay.
    script = tmp_path / "checkpoint.py"
    (tmp_path / "results").mkdir()
    script.write_text((ROOT / "benchmarks" / "checkpoint.py").read_text())
    line = [sys.executable, str(script), "--epochs", "1", "--transitions", "100000", "--eager"]
    subprocess.run(line, check=True, capture_output=True)
    rows = list(csv.DictReader((tmp_path / "results" / "checkpoint.csv").open()))
    found = {row["measure"]: float(row["value"]) for row in rows}
    assert found["checkpoint_ms_median"] < 200.0  # 50 on an idle machine, see docs/resume.md
    assert found["resume_s"] < 10.0
    assert found["resume_memory_over_buffer"] < 2.0  # 17 MB: the envs' own memory weighs more than with 165
