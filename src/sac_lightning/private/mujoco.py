"""Undocumented parts of MuJoCo's Python bindings: who is called with its warnings."""

import sys
from collections.abc import Callable

from sac_lightning.private import PrivateApi

_FALLBACK = "MuJoCo prints its warnings and writes them to MUJOCO_LOG.TXT"
GET_WARNING = PrivateApi(
    "mujoco.get_mju_user_warning", "leaves alone whoever takes MuJoCo's warnings already", _FALLBACK
)
SET_WARNING = PrivateApi("mujoco.set_mju_user_warning", "sends MuJoCo's warnings to `logging`", _FALLBACK)
PRIVATE_APIS = (GET_WARNING, SET_WARNING)


def take_warnings(handler: Callable[[str], None]) -> None:
    """Passes MuJoCo's warnings to `handler`, where it is loaded and nobody takes them."""
    if "mujoco" not in sys.modules:
        return
    present, take = GET_WARNING.find(), SET_WARNING.find()
    if present is not None and take is not None and present() is None:
        take(handler)
