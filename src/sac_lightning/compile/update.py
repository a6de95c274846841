"""The update of SAC as one compiled graph, from the rows of the replay buffer to the target critics."""

import logging
import textwrap
from collections.abc import Callable, Sequence
from functools import partial

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

    Updates with and without the actor's step have a graph each.

    Args:
        sac: prepared for updates.
        replay: whose rows the mini-batches are gathered from.
    """

    def __init__(self, sac: SAC, replay: ReplayBuffer) -> None:
        self._sac, self._replay = sac, replay
        on_gpu = sac.log_alpha.device.type == "cuda"
        self._names: dict[bool, tuple[str, ...]] = {}
        sac.write_out_optimizers(True)
        self._runs: dict[bool, Callable[..., Sequence[Tensor]]] = {
            with_actor: CompiledGraph(
                partial(self._update, with_actor),
                sac.state,
                rows=replay.rows,
                from_cpp=not on_gpu and sac.is_ours,
                cuda_graph=on_gpu,
            )
            for with_actor in (True, False)
        }
        # A recorded graph would copy a whole buffer to where the recording wants its inputs.
        self.can_act = not on_gpu

    def __call__(
        self,
        index: BatchIndex,
        noise: Float[Tensor, "2 B noise"],
        fused: FusedAction | None = None,
        with_actor: bool = True,
    ) -> UpdateResult:
        """Updates once.

        Args:
            index: rows of the mini-batch and their weights.
            noise: for the next actions and for the actor's actions.
            fused: the next step of the envs, to choose its actions with the updated policy. Either all
                calls have one or none has.
            with_actor: whether actor and temperature are stepped.
        """
        tensors = (*index, noise) if fused is None else (*index, noise, fused.obs, fused.noise)
        run = self._runs[with_actor]
        if with_actor not in self._names:
            what = "update" if with_actor else "update of the critics alone"
            log.info("compiling the %s, once: about 30 s, or 10 s where PyTorch's cache on disk has it", what)
        try:
            return self._result(run(*tensors), fused, with_actor)
        except Exception as error:  # of the compiler, of C++, of the disk: each has its own
            if not isinstance(run, CompiledGraph) or run.works:
                raise
            self._give_up(error)
        # If the compiler was not the cause, it raises again.
        return self._result(self._runs[with_actor](*tensors), fused, with_actor)

    def _give_up(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        log.warning(
            "PyTorch could not compile the update, so this run is eager: slower, otherwise the same. "
            "compile=false does not try. The reason: %s",
            textwrap.shorten(reason, 200, placeholder=" ..."),
        )
        self.can_act = False
        self._runs = {with_actor: partial(self._update, with_actor) for with_actor in (True, False)}
        self._sac.write_out_optimizers(False)

    def _update(
        self, with_actor: bool, index: Tensor, weight: Tensor, noise: Tensor, *acting: Tensor
    ) -> Sequence[Tensor]:
        result = self._sac.update(self._replay.gather(BatchIndex(index, weight)), noise, with_actor)
        self._names[with_actor] = result.metrics.names
        outputs = [result.metrics.numbers, result.td_error]
        if acting:
            with torch.no_grad():
                obs, acting_noise = acting
                features = self._sac.features(obs)
                action = self._sac.head.act(features, acting_noise)
                outputs += [action, self._sac.head.log_prob(features, action)]
        return outputs

    def _result(self, outputs: Sequence[Tensor], fused: FusedAction | None, with_actor: bool) -> UpdateResult:
        if fused is not None:
            fused.choose(outputs[2], outputs[3])
        return UpdateResult(PackedMetrics(self._names[with_actor], outputs[0]), outputs[1])
