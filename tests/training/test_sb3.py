"""Agents of Stable-Baselines3. sb3/pendulum.zip is from its 2.9.2; pendulum.json has what it answers."""

import json
import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from sac_lightning import ConfigError, load_sb3
from sac_lightning.entropy import Fixed
from sac_lightning.heads.gaussian import TanhNormal
from sac_lightning.spaces import BoxAction, DiscreteAction, ObsSpec

HERE = Path(__file__).parent / "sb3"
AGENT = HERE / "pendulum.zip"
OBS, ACTION = ObsSpec((3,), "float32"), BoxAction((-2.0,), (2.0,), (1,))


def test_actions_q_values_and_alpha_are_those_of_the_agent() -> None:
    answers = json.loads(AGENT.with_suffix(".json").read_text())
    expected = {name: torch.tensor(value) for name, value in answers.items()}
    module = load_sb3(AGENT, OBS, ACTION)
    sac, obs = module.sac, expected["obs"]
    action = torch.from_numpy(module.act(obs.numpy(), deterministic=True))
    torch.testing.assert_close(action, expected["action"], atol=1e-5, rtol=0)
    assert sac.target_critic is not None
    for critic, name in ((sac.critic, "q"), (sac.target_critic, "target_q")):
        q = critic.features(obs, expected["action"] / 2.0).squeeze(-1)
        torch.testing.assert_close(q, expected[name], atol=1e-5, rtol=0)
    assert float(sac.log_alpha.detach()) == pytest.approx(float(expected["log_alpha"]), abs=1e-6)
    head = sac.head
    assert isinstance(head, TanhNormal)
    # The bias of log σ is 0 here, and log σ stays within 0.35 of it: a tanh is nearly straight there.
    log_std = head.mean_and_log_std(sac.features(obs))[1]
    torch.testing.assert_close(log_std[:, 0], expected["log_std"], atol=0.03, rtol=0)


def rewritten(path: Path, **changed: object) -> Path:
    """The agent with other settings."""
    with ZipFile(AGENT) as old, ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "data":
                content = json.dumps({**json.loads(content), **changed}).encode()
            new.writestr(name, content)
    return path


def test_a_fixed_coefficient_becomes_a_fixed_alpha(tmp_path: Path) -> None:
    path = shutil.copy(AGENT, tmp_path / "agent.zip")
    with ZipFile(AGENT) as old, ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)) if name != "pytorch_variables.pth" else None
        with new.open("pytorch_variables.pth", "w") as file:
            torch.save({"ent_coef_tensor": torch.tensor(0.3)}, file)
    temperature = load_sb3(path, OBS, ACTION).sac.temperature
    assert isinstance(temperature, Fixed)
    assert temperature.value == pytest.approx(0.3)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    no_zip = tmp_path / "no.zip"
    no_zip.write_text("text")
    for path, obs, action, reason in (
        (no_zip, OBS, ACTION, r"must be a zip file of Stable-Baselines3's SAC.save"),
        (rewritten(tmp_path / "sde.zip", use_sde=True), OBS, ACTION, "use_sde=False"),
        (AGENT, ObsSpec((4,), "float32"), ACTION, "does not fit an env"),
        (AGENT, OBS, DiscreteAction(2), "is for a Box of actions"),
    ):
        with pytest.raises(ConfigError, match=reason):
            load_sb3(path, obs, action)
