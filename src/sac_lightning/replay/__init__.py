"""Replay: transitions of all past policies, and how they are sampled."""

from sac_lightning.replay.buffer import BatchIndex, ReplayBuffer
from sac_lightning.replay.disk.journal import Journal
from sac_lightning.replay.her import HerReplay
from sac_lightning.replay.memory import check_fits, planned_bytes
from sac_lightning.replay.mixed import MixedReplay
from sac_lightning.replay.prioritized import LapReplay, PrioritizedReplay

__all__ = [
    "BatchIndex",
    "HerReplay",
    "Journal",
    "LapReplay",
    "MixedReplay",
    "PrioritizedReplay",
    "ReplayBuffer",
    "check_fits",
    "planned_bytes",
]
