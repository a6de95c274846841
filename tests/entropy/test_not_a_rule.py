"""A number or a word where a rule is meant is explained in one line, as at the command line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sac_lightning import ConfigError
from sac_lightning.core.spec import from_spec
from sac_lightning.entropy import TargetEntropyRule, TemperatureRule
from sac_lightning.heads import ActionHead


@pytest.mark.parametrize(
    ("base", "given", "message"),
    [
        (
            TemperatureRule,
            0.2,
            "TemperatureRule=0.2: is a float; must be an object of TemperatureRule: alpha=fixed",
        ),
        (TemperatureRule, 0.2, "Fixed(0.2)"),
        (TemperatureRule, "auto", "in a program LearnedTemperature()"),
        (TargetEntropyRule, -3, "in a program Constant(-3)"),
        (ActionHead, "tanh_normal", "TanhNormal"),
    ],
)
def test_what_is_no_part_is_explained(base: Any, given: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_spec(base, given)
    assert message in str(caught.value)


# A program without the type checks of these tests.
PROGRAM = """
from sac_lightning import ConfigError, SACModule
from sac_lightning.entropy import LearnedTemperature
from sac_lightning.spaces import BoxAction, ObsSpec
obs, action = ObsSpec((3,), "float32"), BoxAction((-1.0,), (1.0,), (1,))
makes = lambda: SACModule(obs, action, temperature=0.2), lambda: LearnedTemperature(target_entropy=-3.0)
for make in makes:
    try:
        make()
    except ConfigError as error:
        print(error)
"""


def test_a_module_and_a_rule_explain_what_they_are_given() -> None:
    source = str(Path(__file__).parents[2] / "src")
    command = [sys.executable, "-c", PROGRAM]
    env = {**os.environ, "PYTHONPATH": source}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    temperature, target = ended.stdout.splitlines()
    assert "Fixed(0.2)" in temperature
    assert target.startswith("target_entropy=-3.0: ") and "Constant(-3.0)" in target
