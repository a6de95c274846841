"""A policy from anybody is data: what its checkpoint names is not called."""

from pathlib import Path

import pytest
import torch
from tests.cli.conftest import ROOT

from sac_lightning import SACModule

POLICY = ROOT / "zoo" / "cartpole" / "policy.ckpt"


@pytest.mark.parametrize("function", ["pytorch_lightning.cli.instantiate_module", "os.system", "no.such"])
def test_a_function_is_not_called(function: str, tmp_path: Path) -> None:
    # Lightning below 2.6.6 calls whatever a checkpoint names, later ones functions of their own.
    content = torch.load(POLICY, weights_only=True)
    content["hyper_parameters"]["_instantiator"] = function
    torch.save(content, tmp_path / "policy.ckpt")
    module, own = map(SACModule.load_from_checkpoint, (tmp_path / "policy.ckpt", POLICY))
    obs = torch.zeros(8, 4).numpy()
    assert (module.act(obs, deterministic=True) == own.act(obs, deterministic=True)).all()
