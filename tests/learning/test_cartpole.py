"""benchmarks/learning.py cartpole measures three seeds, to 25,000 env steps; here it is one, to 10,000."""

from pathlib import Path

import pytest
from tests.learning.experiments import return_mean, trained


@pytest.mark.timeout(900)
def test_cartpole_stands_for_195_steps_after_10000_env_steps(tmp_path: Path) -> None:
    module = trained(tmp_path / "run", "env=cartpole", "seed=0", "total_env_steps=10000")
    assert return_mean("CartPole-v1", module) >= 195.0
