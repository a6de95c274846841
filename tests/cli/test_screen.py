"""What a person sees of a run in a terminal of 80 columns."""

import os
import re
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import ROOT

RUN = ("debug=fast", "threads=1", "device=cpu", "total_env_steps=300", "hydra.run.dir=run")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_something_new_within_5_s_and_no_path_is_wrapped(tmp_path: Path, process_env: dict[str, str]) -> None:
    import fcntl
    import pty
    import termios

    deep = tmp_path / ("a_folder_with_a_long_name_" * 4)
    deep.mkdir()
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {key: value for key, value in process_env.items() if key not in ("COLUMNS", "LINES")}
    line = [sys.executable, str(ROOT / "train.py"), *RUN]
    process = subprocess.Popen(line, cwd=deep, env=env | {"TERM": "xterm"}, stdout=there, stderr=there)
    os.close(there)
    seen, waits, began = b"", [], time.monotonic()
    while select.select([here], [], [], 60)[0]:
        try:
            chunk = os.read(here, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        seen += chunk
        waits.append(time.monotonic() - began)
        began = time.monotonic()
        if not chunk:
            break
    os.close(here)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert process.wait(60) == 0, text
    assert "loading PyTorch and Lightning" in text
    assert max(waits) < 5.0, waits
    lines = [each.strip() for each in re.split(r"[\r\n]+", text)]
    run = deep / "run"
    assert f"INFO     run directory: {run}" in lines
    assert f"evaluate       python {ROOT / 'eval.py'} run={run}" in lines
    assert any(re.fullmatch(rf"upload +wandb sync {run}/wandb/offline-run-\S+", each) for each in lines)
    assert all(str(run) in each for each in lines if "a_folder" in each)  # never in two pieces
    bar = next(each for each in lines if "300/300" in each)
    assert re.search(r"return -\d+\.\d  α [\d.]+  H -?[\d.]+→-1.00  [\d,]+/s", bar), bar
