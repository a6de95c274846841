"""A temperature rule of your own."""

from dataclasses import dataclass

from torch import Tensor

from sac_lightning.core.errors import number, require, whole
from sac_lightning.entropy import TemperatureRule


@dataclass(frozen=True)
class Halving(TemperatureRule):
    """α = start · ½^⌊env_steps / every⌋."""

    start: float = 0.2
    every: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        require(number(self.start) > 0.0, "alpha.start", self.start, "must be a number above 0")
        require(whole(self.every) >= 1, "alpha.every", self.every, "must be a whole number of at least 1")

    @property
    def initial(self) -> float:
        """α at the first update."""
        return self.start

    def alpha(self, log_alpha: Tensor, env_steps: Tensor) -> Tensor:
        """Returns α now, in tensor operations alone, so that the same lines run compiled."""
        return self.start * 0.5 ** (env_steps // self.every).to(log_alpha) * log_alpha.new_ones(())
