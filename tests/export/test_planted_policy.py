"""A policy from anybody is data: what its checkpoint names is not called."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.conftest import ROOT

from sac_lightning import SACModule
from sac_lightning.core.files import DamagedFile

POLICY = ROOT / "zoo" / "cartpole" / "policy.ckpt"


@pytest.mark.parametrize(
    "planted",
    [
        # Lightning below 2.6.6 calls whatever is named there, later ones functions of their own.
        {"hyper_parameters": {"_instantiator": "os.system"}},
        {"hparams": {"_instantiator": "os.system"}},
        {"module_arguments": [["_instantiator", "os.system"]]},
        {"hyper_parameters": [["_instantiator", "os.system"]]},
    ],
)
def test_a_function_is_not_called(planted: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "policy.ckpt"
    torch.save({**torch.load(POLICY, weights_only=True), **planted}, file)
    for source in (file, str(file), io.BytesIO(file.read_bytes())):
        with pytest.raises(DamagedFile, match="its hyper_parameters are more than the module's arguments"):
            SACModule.load_from_checkpoint(source)


def test_an_open_file_is_loaded_and_an_address_is_not() -> None:
    module, own = map(SACModule.load_from_checkpoint, (io.BytesIO(POLICY.read_bytes()), POLICY))
    obs = torch.zeros(8, 4).numpy()
    assert (module.act(obs, deterministic=True) == own.act(obs, deterministic=True)).all()
    with pytest.raises(DamagedFile, match="is no file: download it first"):
        SACModule.load_from_checkpoint("https://example.org/policy.ckpt")
