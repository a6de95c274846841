"""Warns when α has run away or collapsed: what it means, and which key to change."""

import logging
import math
from typing import Annotated, Any

from typing_extensions import override

from sac_lightning.core.fields import Number, Whole, check_arguments
from sac_lightning.training.lightning_package import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class EntropyWatch(Callback):
    """Checks a learned α after each evaluation, and warns at most once of each of two failures.

    Its state is saved in checkpoints.

    Args:
        evaluations: α has run away when it has grown at so many evaluations in a row.
        collapsed: α has collapsed when it is below this, and the entropy is above its target.
    """

    @check_arguments()
    def __init__(
        self,
        evaluations: Annotated[int, Whole("[1, inf)")] = 20,
        collapsed: Annotated[float, Number("(0, 1]")] = 1e-6,
    ) -> None:
        self.evaluations, self.collapsed = evaluations, collapsed
        self._last, self._first, self._grown = math.inf, math.inf, 0
        self._warned: set[str] = set()

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        latest: Any = getattr(pl_module, "latest", {})
        # The target is in the log only where α is learned.
        if not trainer.sanity_checking and {"train/alpha", "train/target_entropy"} <= latest.keys():
            self._check(latest["train/alpha"], latest["train/entropy"], latest["train/target_entropy"])

    @override
    def state_dict(self) -> dict[str, Any]:
        warned = sorted(self._warned)
        return {"last": self._last, "first": self._first, "grown": self._grown, "warned": warned}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._last, self._first = state_dict["last"], state_dict["first"]
        self._grown, self._warned = state_dict["grown"], set(state_dict["warned"])

    def _check(self, alpha: float, entropy: float, target: float) -> None:
        if alpha > self._last:
            self._grown += 1
        else:
            self._grown, self._first = 0, alpha
        self._last = alpha
        values = f"entropy {entropy:.3g}, target {target:.3g}"
        if self._grown >= self.evaluations:
            self._warn(
                "run away",
                f"alpha has grown for {self._grown} evaluations, from {self._first:.3g} to {alpha:.3g} "
                f"({values}): the task does not let the policy be so random. Lower the target (for choices "
                "target_entropy=max_ratio target_entropy.ratio=0.5, or target_entropy=tes), or set alpha.max",
            )
        if alpha < self.collapsed and entropy > target:
            self._warn(
                "collapsed",
                f"alpha has collapsed to {alpha:.3g} ({values}): the policy stays more random than "
                "asked, and entropy no longer counts. Raise the target (target_entropy=constant "
                f"target_entropy.nats={entropy:.2g}), or set alpha.min",
            )

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning(text)
