"""Replay of a run's own transitions and of transitions from before it."""

import logging
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from sac_lightning.core.errors import require
from sac_lightning.core.fields import Number, Rule, Whole, check_arguments
from sac_lightning.replay.buffer import BatchIndex, ReplayBuffer, Storage
from sac_lightning.replay.prior_files import prior_data
from sac_lightning.replay.ring import Ring
from sac_lightning.spaces import ActionSpec, ObsSpec

log = logging.getLogger(__name__)


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) and each for each in value)


class MixedReplay(ReplayBuffer):
    """Takes a share of each mini-batch from prior data, the rest from the run     (RLPD, 2302.02948)

    Both are drawn uniformly. The prior data lie in rows behind the ring. They are never overwritten and never
    written to the journal: a resumed run reads them again. Before the first env step a mini-batch consists
    of prior data alone.

    Args:
        data: where prior data are: folders of runs or their checkpoints, .npz and .parquet files,
            `minari:ID`.
        share: of each mini-batch, rounded to whole transitions.
        offline_steps: gradient updates before the first env step.
        sha256: of each of `data`, which must then be the same; None for any. A run writes them into its
            config.yaml.
        capacity, n_step, gamma, frame_stack, storage: as for ReplayBuffer; `capacity` counts the run's own
            transitions.
    """

    @check_arguments("replay")
    def __init__(
        self,
        capacity: int | None = None,
        n_step: int = 1,
        gamma: float | str = 0.99,
        *,
        frame_stack: Annotated[int, Whole("[1, 100]")] = 1,
        storage: Storage = "memory",
        data: Annotated[
            Sequence[str], Rule(_texts, "a list of runs, .npz and .parquet files, and minari:ID")
        ],
        share: Annotated[float, Number("(0, 1]")] = 0.5,
        offline_steps: Annotated[int, Whole("[0, inf)")] = 0,
        sha256: Annotated[Sequence[str] | None, Rule(_texts, "a list with one text for each of data")] = None,
    ) -> None:
        super().__init__(capacity, n_step, gamma, frame_stack=frame_stack, storage=storage)
        require(len(data) > 0, "replay.data", data, "must name at least one run, file or minari:ID")
        ok = sha256 is None or len(sha256) == len(data)
        require(ok, "replay.sha256", sha256, "must have one for each of data")
        self._prior = [prior_data(source) for source in data]
        self.data, self.share, self.offline_steps = list(data), share, offline_steps
        self.sha256 = [each.sha256 for each in self._prior]
        for each, expected in zip(self._prior, self.sha256 if sha256 is None else sha256, strict=True):
            changed = f"is not what it was: its sha256 is {each.sha256}, not {expected}"
            each.require(each.sha256 == expected, changed)
        self.prior_rows = sum(each.rows for each in self._prior)

    def follow_env(self, env: Any, obs: ObsSpec, action: ActionSpec) -> None:
        """Raises ConfigError unless all prior data are of the env's spaces."""
        for each in self._prior:
            each.check(obs, action)

    def allocate(self, capacity: int, obs: ObsSpec, action: ActionSpec, **options: Any) -> None:
        """Makes an empty buffer with the prior data behind it. Raises DamagedFile."""
        super().allocate(capacity, obs, action, **options)
        first = capacity
        for each in self._prior:
            store = Ring(*(field[first : first + each.rows] for field in self.all_rows))
            order = each.read(store, action)
            if self.n_step > 1:
                env = store.env.cpu().numpy()[order]
                done = (store.terminated | store.truncated).cpu().numpy()[order]
                self._next.link(first + order, env, done)
            log.info("prior data: %d transitions of %s", each.rows, each.source)
            first += each.rows

    def draw(self, batches: int, batch_size: int) -> BatchIndex:
        prior = min(max(round(self.share * batch_size), 1), batch_size) if self.added else batch_size
        parts = [self._uniform(self.capacity, self.capacity + self.prior_rows, batches, prior)]
        if prior < batch_size:
            parts.insert(0, self._uniform(0, len(self), batches, batch_size - prior))
        return self._drawn(torch.cat(parts, dim=1))

    def _uniform(self, first: int, end: int, *shape: int) -> Int[Tensor, "G P"]:
        return torch.randint(first, end, shape, generator=self.generator, device=self.device)

    def age(self) -> Shaped[Tensor, "G B"]:
        """Returns the env steps since each transition was stored; NaN for prior data."""
        return torch.where(self.last_index < self.capacity, super().age().float(), torch.nan)
