"""A program without sac_lightning: reads exported policies and writes their actions.

stdin: a JSON list of [policy file, .npz of observations, .npz for the actions].
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch


def loaded(file: str) -> Any:
    """The policy as a function of arrays."""
    if Path(file).suffix == ".onnx":
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda obs: session.run(["action"], {"obs": obs})[0]
    program = torch.export.load(file).module()
    return lambda obs: program(torch.from_numpy(obs)).numpy()


found = find_spec("sac_lightning")
assert found is None or found.origin is None, found  # an editable install leaves a folder of configs
torch.set_num_threads(1)
for policy, observations, actions in json.load(sys.stdin):
    act = loaded(policy)
    np.savez(actions, **{name: act(obs) for name, obs in np.load(observations).items()})
assert not any(name.partition(".")[0] == "sac_lightning" for name in sys.modules)
