"""The data pool: transitions of all past policies, sampled uniformly."""

from sac_lightning.replay.buffer import ReplayBuffer
from sac_lightning.replay.journal import Journal
from sac_lightning.replay.size import check_fits, planned_bytes

__all__ = ["Journal", "ReplayBuffer", "check_fits", "planned_bytes"]
