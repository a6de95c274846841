"""The update of SAC as one compiled graph, from the rows of the replay buffer to the target critics."""

import logging
import textwrap
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sac_lightning.algorithm.sac import SAC, UpdateResult
from sac_lightning.compile.fused_action import FusedAction
from sac_lightning.compile.graph import CompiledGraph
from sac_lightning.replay import BatchIndex, ReplayBuffer
from sac_lightning.types import PackedMetrics

log = logging.getLogger(__name__)


class CompiledUpdate:
    """Gathers a mini-batch, updates, and chooses the next action where asked, all in one graph.

    The gather lies inside, so no mini-batch is written to memory. Where the compiler fails, one warning is
    logged and the update runs eagerly; nothing has changed by then.

    Args:
        sac: prepared for updates.
        replay: whose rows the mini-batches are gathered from.
    """

    def __init__(self, sac: SAC, replay: ReplayBuffer) -> None:
        self._sac, self._replay = sac, replay
        on_gpu = sac.log_alpha.device.type == "cuda"
        self._names: tuple[str, ...] = ()
        sac.write_out_optimizers(True)
        self._run: Callable[..., Sequence[Tensor]] = CompiledGraph(
            self._update,
            sac.state,
            rows=replay.rows,
            from_cpp=not on_gpu and sac.is_ours,
            cuda_graph=on_gpu,
        )
        # A recorded graph would copy a whole buffer to where the recording wants its inputs.
        self.can_act = not on_gpu

    def __call__(
        self, index: BatchIndex, noise: Float[Tensor, "2 B noise"], fused: FusedAction | None = None
    ) -> UpdateResult:
        """Updates once.

        Args:
            index: rows of the mini-batch and their weights.
            noise: for the next actions and for the actor's actions.
            fused: the next step of the envs, to choose its actions with the updated policy. Either all
                calls have one or none has.
        """
        tensors = (*index, noise) if fused is None else (*index, noise, fused.obs, fused.noise)
        try:
            return self._result(self._run(*tensors), fused)
        except Exception as error:  # of the compiler, of C++, of the disk: each has its own
            if not isinstance(self._run, CompiledGraph) or self._run.works:
                raise
            self._give_up(error)
        return self._result(self._run(*tensors), fused)  # if the compiler was not the cause, it raises again

    def _give_up(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        log.warning(
            "PyTorch could not compile the update, so this run is eager: slower, otherwise the same. "
            "compile=false does not try. The reason: %s",
            textwrap.shorten(reason, 200, placeholder=" ..."),
        )
        self.can_act, self._run = False, self._update
        self._sac.write_out_optimizers(False)

    def _update(self, index: Tensor, weight: Tensor, noise: Tensor, *acting: Tensor) -> Sequence[Tensor]:
        result = self._sac.update(self._replay.gather(BatchIndex(index, weight)), noise)
        self._names = result.metrics.names
        outputs = [result.metrics.numbers, result.td_error]
        if acting:
            with torch.no_grad():
                obs, acting_noise = acting
                features = self._sac.features(obs)
                action = self._sac.head.act(features, acting_noise)
                outputs += [action, self._sac.head.log_prob(features, action)]
        return outputs

    def _result(self, outputs: Sequence[Tensor], fused: FusedAction | None) -> UpdateResult:
        if fused is not None:
            fused.choose(outputs[2], outputs[3])
        return UpdateResult(PackedMetrics(self._names, outputs[0]), outputs[1])
