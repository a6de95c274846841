"""The state of MuJoCo's simulation, to the bit."""

from importlib import import_module
from typing import Any

import numpy as np

# Addresses of this process, and sizes that change with the contacts: every step computes these anew.
SKIPPED = ("plugin", "plugin_data")


class MujocoState:
    """MuJoCo's integration state, all that was derived from it, and attributes of the Python env.

    The derived arrays matter: envs read some of them (`xipos`, `cfrc_ext`, `cinert` …) before the next step
    has computed them anew, and they lag behind `qpos` by a substep, so `mj_forward` would not bring
    them back.
    """

    def __init__(self, *attributes: str) -> None:
        self.attributes = attributes

    def capture(self, layer: Any) -> dict[str, Any]:
        """Integration state, derived arrays, attributes."""
        mujoco = _mujoco()
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        integration = np.empty(mujoco.mj_stateSize(layer.model, kind))
        mujoco.mj_getState(layer.model, layer.data, integration, kind)
        return {
            "integration": integration,
            "derived": _derived(layer),
            "attributes": {name: getattr(layer, name) for name in self.attributes if hasattr(layer, name)},
        }

    def restore(self, layer: Any, state: dict[str, Any]) -> None:
        """Set them. Raises ValueError when the model has other sizes, as after an update of MuJoCo."""
        mujoco = _mujoco()
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        integration, present = state["integration"], _derived(layer)
        sizes = {name: array.shape for name, array in present.items()}
        saved = {name: array.shape for name, array in state["derived"].items()}
        if sizes != saved or integration.shape != (mujoco.mj_stateSize(layer.model, kind),):
            raise ValueError("it was saved by another version of MuJoCo, or with another model")
        mujoco.mj_setState(layer.model, layer.data, integration, kind)
        for name, array in state["derived"].items():
            getattr(layer.data, name)[...] = array
        for name, value in state["attributes"].items():
            setattr(layer, name, value)


def _derived(layer: Any) -> dict[str, Any]:
    """The arrays of fixed size in `data`: those that a fresh `data` has with the same shape."""
    fresh = _mujoco().MjData(layer.model)
    arrays = {}
    for name in dir(fresh):
        if name.startswith("_") or name in SKIPPED:
            continue
        array = getattr(layer.data, name)
        if isinstance(array, np.ndarray) and array.size and array.shape == getattr(fresh, name).shape:
            arrays[name] = array
    return arrays


def _mujoco() -> Any:
    # Untyped, and only there with the `mujoco` extra.
    return import_module("mujoco")
