"""Target networks: the critics that the bootstrap reads."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from sac_lightning.core.fields import Number
from sac_lightning.core.spec import Described


class TargetNetwork(Described):
    """Says whether the bootstrap reads a slow copy of the critics, and how the copy follows them.

    To add one, subclass this as a frozen dataclass whose fields are the options of its YAML file.
    """

    # Polyak's tau is a key of the top level.
    config_key: ClassVar[str] = ""
    # Whether there is a copy; without one the critics bootstrap from themselves.
    has_copy: ClassVar[bool] = True
    # Whether stored and next actions pass through the critics as one batch, for BatchNorm (1902.05605).
    joint_pass: ClassVar[bool] = False
    # Whether critics learn with it only if their torso normalises over the batch.
    needs_batch_statistics: ClassVar[bool] = False

    def tensors(self, network: nn.Module) -> list[Tensor]:
        """Returns the tensors of `network` that follow the critics', in an order of their own.

        By default all weights and buffers. Whole numbers are left out: a copy counts for itself.
        """
        return [each for each in (*network.parameters(), *network.buffers()) if each.is_floating_point()]

    @abstractmethod
    def update_(self, copies: list[Tensor], originals: list[Tensor]) -> None:
        """Moves the copy's tensors in place, after each update."""


@dataclass(frozen=True)
class Polyak(TargetNetwork):
    """θ̄ ← (1 − τ) θ̄ + τ θ after each update, running statistics included     (1812.05905 algorithm 1)

    Args:
        tau: τ, the copy's step towards the critics, in (0, 1].
    """

    tau: Annotated[float, Number("(0, 1]")] = 0.005

    @torch.no_grad()
    def update_(self, copies: list[Tensor], originals: list[Tensor]) -> None:
        for copy, original in zip(copies, originals, strict=True):
            copy.lerp_(original, self.tau)


@dataclass(frozen=True)
class JointPolyak(Polyak):
    """A Polyak copy that sees stored and next actions in one batch     (XQC 2509.25174, FlashSAC 2604.04539)

    Weights follow the critics; each copy's BatchNorm uses the statistics of the batch and keeps its own.

    Args:
        tau: τ, the copy's step towards the critics, in (0, 1].
    """

    joint_pass: ClassVar[bool] = True
    needs_batch_statistics: ClassVar[bool] = True

    def tensors(self, network: nn.Module) -> list[Tensor]:
        return list(network.parameters())


@dataclass(frozen=True)
class NoTargetNetwork(TargetNetwork):
    """Bootstraps from the critics themselves, stored and next actions in one batch     (CrossQ, 1902.05605)

    Needs critics with batch statistics, e.g. torso=batch_norm.
    """

    has_copy: ClassVar[bool] = False
    joint_pass: ClassVar[bool] = True
    needs_batch_statistics: ClassVar[bool] = True

    def update_(self, copies: list[Tensor], originals: list[Tensor]) -> None:
        """Does nothing: there is no copy."""
