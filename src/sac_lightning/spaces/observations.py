"""What the networks need to know of an env's observations: plain sizes, no Gymnasium."""

import math
from dataclasses import dataclass, replace

from sac_lightning.core.spec import Described


@dataclass(frozen=True)
class ObsPart(Described):
    """One space of a Dict or Tuple, or choices: some numbers of the row in which an observation is stored.

    Args:
        name: its key, or its number within a Tuple; `outer/inner` where one Dict lies in another.
        shape: of the part; its numbers follow each other in the row.
        dtype: of the env's space; networks scale bytes (uint8) to [0, 1].
        choices: how many values each number has, counted from 0; () where the numbers are no choices.
        mask_of: sizes of the action's choices, where the part says which of them are allowed: [Σ sizes] bits
            that no encoder reads. () for any other part.
        critic_only: whether the actor does not see the part; such parts are the last ones of the row.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    choices: tuple[int, ...] = ()
    mask_of: tuple[int, ...] = ()
    critic_only: bool = False

    @property
    def size(self) -> int:
        """Numbers of this part in the row."""
        return math.prod(self.shape)

    @property
    def is_number(self) -> bool:
        """Whether the part is no choice and no mask."""
        return not self.choices and not self.mask_of


@dataclass(frozen=True)
class ObsSpec(Described):
    """Shape and dtype of one observation as it is stored, e.g. `ObsSpec((3,), "float32")`.

    An env's Box keeps its shape and has no `parts`. Any other observation is one row, and `parts` says what
    follows what in it.
    """

    shape: tuple[int, ...]
    dtype: str
    parts: tuple[ObsPart, ...] = ()

    @property
    def size(self) -> int:
        """Numbers in one observation."""
        return math.prod(self.shape)

    @property
    def of_actor(self) -> "ObsSpec":
        """What the actor sees of this observation: the first numbers of the row where critics see more."""
        parts = tuple(part for part in self.parts if not part.critic_only)
        if len(parts) == len(self.parts):
            return self
        return ObsSpec((sum(part.size for part in parts),), self.dtype, parts)

    @property
    def normalized(self) -> "ObsSpec":
        """This observation once its numbers are normalised: no bytes any more. Choices and masks stay."""
        parts = tuple(replace(each, dtype="float32") if each.is_number else each for each in self.parts)
        return ObsSpec(self.shape, "float32", parts)
