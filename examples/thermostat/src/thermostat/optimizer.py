"""An optimizer of your own."""

from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sac_lightning.core.errors import require, whole
from sac_lightning.optim import Adam


@dataclass(frozen=True, kw_only=True)
class WarmUp(Adam):
    """Adam whose learning rate rises linearly over the first `warm_up` updates."""

    warm_up: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = whole(self.warm_up) >= 1
        require(ok, "optimizer.warm_up", self.warm_up, "must be a whole number of at least 1")

    def schedule(self, optimizer: Optimizer, updates: int) -> LambdaLR:
        """Returns the schedule of a run of `updates` updates; it moves with every update."""
        return LambdaLR(optimizer, lambda update: min(1.0, (update + 1) / self.warm_up))
