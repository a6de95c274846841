"""The data pool: transitions of all past policies, sampled uniformly."""

from sac_lightning.replay.buffer import ReplayBuffer
from sac_lightning.replay.size import check_fits, planned_bytes

__all__ = ["ReplayBuffer", "check_fits", "planned_bytes"]
