"""benchmarks/learning.py pendulum measures five seeds; here it is one, to the same bound."""

from pathlib import Path

import pytest
from tests.learning.experiments import return_mean, trained


@pytest.mark.timeout(900)
def test_pendulum_is_solved_in_5000_env_steps(tmp_path: Path) -> None:
    module = trained(tmp_path / "run", "env=pendulum", "seed=0")
    assert return_mean("Pendulum-v1", module) > -200.0
