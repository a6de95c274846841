"""Envs of a package that `env.id=module_envs:NAME` imports; importing this registers them."""

from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from faulty_envs import Walk


class Only(Walk):
    """A simulator of which one may exist at a time, in all processes that have `claim`."""

    living: ClassVar[int] = 0

    def __init__(self, claim: str = "") -> None:
        super().__init__()
        self.claim = Path(claim) if claim else None
        if type(self).living or (self.claim is not None and self.claim.exists()):
            raise RuntimeError("the port is taken")
        type(self).living += 1
        if self.claim is not None:
            self.claim.touch()
        self.open = True

    def close(self) -> None:
        if self.open:
            self.open = False
            type(self).living -= 1
            if self.claim is not None:
                self.claim.unlink()


class Pictured(Walk):
    """Cannot do without pictures."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        if render_mode != "rgb_array":
            raise ValueError("a render_mode is needed")
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((4, 4, 3), 100 + round(self.place), np.uint8)


ENVS: dict[str, Any] = {"Only-v0": Only, "Plain-v0": Walk, "Pictured-v0": Pictured}
for name, made in ENVS.items():
    if name not in gym.registry:
        gym.register(name, made)
