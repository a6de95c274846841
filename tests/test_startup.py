"""What is imported when: PyTorch and Lightning take seconds, and not every command needs them."""

import subprocess
import sys

import pytest

import sac_lightning


@pytest.mark.parametrize("module", ["cli.train", "cli.sweep.multirun", "cli.report"])
def test_a_command_begins_without_pytorch(module: str) -> None:
    told = f"import sys, sac_lightning.{module}; print([m for m in ('torch', 'scipy') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_public_names_are_there_when_asked_for() -> None:
    assert {*sac_lightning.__all__} <= {*dir(sac_lightning)}
    for name in sac_lightning.__all__:
        assert getattr(sac_lightning, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'SACmodule'"):
        _ = sac_lightning.SACmodule
