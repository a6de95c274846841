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
from sac_lightning.rng import global_rng_state, restore_global_rng
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
        # Calls that may fail for the compiler's sake. A CUDA graph is warmed up, recorded, and then replayed.
        self._trials = 3 if on_gpu else 1

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
        if self._trials:
            return self._result(self._try(*tensors), fused)
        return self._result(self._run(*tensors), fused)

    def _try(self, *tensors: Tensor) -> Sequence[Tensor]:
        """Makes one of the first calls. If it fails, the eager update starts where this one started."""
        before, rng = [tensor.clone() for tensor in self._sac.state], global_rng_state()
        try:
            outputs = self._run(*tensors)
            self._trials -= 1
            return outputs
        except Exception as error:  # of the compiler, of C++, of the disk: each has its own
            with torch.no_grad():
                for tensor, value in zip(self._sac.state, before, strict=True):
                    tensor.copy_(value)
            restore_global_rng(rng)
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            log.warning(
                "PyTorch could not compile the update, so this run is eager: slower, otherwise the same. "
                "compile=false does not try. The reason: %s",
                textwrap.shorten(reason, 200, placeholder=" ..."),
            )
            self._give_up()
        return self._run(*tensors)  # if the cause was not the compiler, this raises it again

    def _give_up(self) -> None:
        self._trials, self.can_act, self._run = 0, False, self._update
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
