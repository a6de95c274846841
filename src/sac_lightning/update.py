"""One gradient update: critics, actor, temperature, targets, in this order; eager or as a single graph."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Adam

from sac_lightning.entropy import Auto, TargetEntropyRule, TemperatureRule
from sac_lightning.heads.base import ActionHead
from sac_lightning.learner import Learner
from sac_lightning.networks import Actor, ActorConfig, CriticConfig, CriticEnsemble, polyak_update
from sac_lightning.objectives import ActorObjective, AlphaObjective, CriticObjective
from sac_lightning.types import Batch, Scalar

_GRAPHS = itertools.count()


@dataclass(frozen=True)
class Parts:
    """What an update works on: networks, rules, and the tensors that it changes in place."""

    actor: Actor
    critic: CriticEnsemble
    target_critic: CriticEnsemble
    head: ActionHead
    temperature: TemperatureRule
    target_rule: TargetEntropyRule | None  # None where α is not learned
    log_alpha: nn.Parameter
    target_entropy: Scalar
    target_memory: Float[Tensor, " M"]
    env_steps: Int[Tensor, ""]
    actor_config: ActorConfig
    critic_config: CriticConfig
    gamma: float
    tau: float


class Update:
    """`update(batch, noise)` -> detached metrics of one update.

    `batch` is `[B, ...]`, `noise` `[2, B, noise]`: for the next action and for the actor's. Both modes run
    `_step`; compiled, it is one full graph from the losses to the target networks, Adam included.
    """

    def __init__(
        self, parts: Parts, optimizers: list[Adam], *, compiled: bool = False, autocast: bool = False
    ) -> None:
        self._parts = parts
        alias = cache(Tensor.detach)
        mode: dict[str, Any] = {"for_graph": compiled, "autocast": autocast, "alias": alias}
        critic = CriticObjective(parts.actor, parts.critic, parts.target_critic, parts.head, parts.gamma)
        actor = ActorObjective(parts.actor, parts.critic, parts.head)
        self.critic = Learner(critic, "critic", parts.critic_config, optimizers[0], **mode)
        self.actor = Learner(actor, "actor", parts.actor_config, optimizers[1], **mode)
        self.alpha: Learner | None = None
        if isinstance(parts.temperature, Auto):
            alpha = AlphaObjective(parts.log_alpha, parts.temperature.loss_form)
            self.alpha = Learner(alpha, "", parts.temperature, optimizers[2], **mode)
        self._learners = [each for each in (self.critic, self.actor, self.alpha) if each is not None]
        self._log_alpha = alias(parts.log_alpha)
        self._targets = [alias(weight) for weight in parts.target_critic.parameters()]
        self._replayed = compiled and parts.log_alpha.device.type == "cuda"
        run = partial(Update._step, self)
        self._run = (
            one_graph(run, self._in_place if self._replayed else None, _ours(parts)) if compiled else run
        )

    @property
    def _in_place(self) -> list[Tensor]:
        """What a step changes where it lies."""
        parts = self._parts
        lasting = [
            parts.target_entropy,
            parts.target_memory,
            parts.env_steps,
            self._log_alpha,
            *self._targets,
        ]
        return [*lasting, *(each for learner in self._learners for each in learner.state)]

    def __call__(self, batch: Batch, noise: Float[Tensor, "2 B noise"]) -> Mapping[str, Tensor]:
        for learner in self._learners:
            learner.follow_schedule()
        if not self._replayed:
            return self._run(batch, noise)
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # PyTorch has not typed it
        # The next replay writes its metrics over these.
        return {name: metric.clone() for name, metric in self._run(batch, noise).items()}

    def _step(self, batch: Batch, noise: Tensor) -> dict[str, Tensor]:
        rule = self._parts.temperature
        alpha = rule.alpha(self._log_alpha, self._parts.env_steps)
        critic = self.critic.descend(batch, noise[0], rule.critic_alpha(alpha))
        actor = self.actor.descend(batch, noise[1], alpha)
        entropy = actor.told.sum()
        metrics = {
            "train/critic_loss": critic.loss,
            "train/actor_loss": actor.loss,
            "train/alpha": alpha,
            "train/entropy": entropy,
            "train/q_mean": critic.told,
        }
        if self.alpha is not None and isinstance(rule, Auto):
            metrics["train/target_entropy"] = target = self._step_target(entropy)
            metrics["train/alpha_loss"] = self.alpha.descend(actor.told, target).loss
            with torch.no_grad():
                rule.project_(self._log_alpha)
        polyak_update(self._targets, self.critic.gradient.weights, self._parts.tau)
        return metrics

    def _step_target(self, entropy: Scalar) -> Scalar:
        """H̄ of this update. A rule that moves it leaves the parts' target and memory changed."""
        parts, rule = self._parts, self._parts.target_rule
        assert rule is not None
        if not rule.moves:
            return parts.target_entropy.clone()
        now, memory = parts.target_entropy, parts.target_memory
        moved, remembered = rule.next(parts.head, now, memory, entropy, parts.env_steps)
        parts.target_entropy.copy_(moved)
        parts.target_memory.copy_(remembered)
        return moved


def _ours(parts: Parts) -> bool:
    """Whether a step is made of this package's own rules and head alone."""
    chosen = (parts.head, parts.temperature, parts.target_rule)
    return all(each is None or type(each).__module__.startswith(f"{__package__}.") for each in chosen)


def one_graph(
    step: "partial[dict[str, Tensor]]", replayed: Iterable[Tensor] | None = None, from_cpp: bool = False
) -> Callable[..., dict[str, Tensor]]:
    """`step` as a single compiled graph, for the shapes of its first call and for no others.

    With `replayed`, the tensors that it changes in place, it is recorded as a CUDA graph and replayed: one
    launch for a whole update. Recording needs to know that these tensors stay where they are.

    Its inputs are always the same tensors in the same shapes, so the checks of them before and in each call,
    a tenth of an update, are left out. Graphs are kept with a function's code: unchecked, one Update would
    be given the graph of another, so each compiles code of its own.

    With `from_cpp`, on the CPU, kernels and products are called from C++: calls from Python take a twentieth
    of an update. That is for steps whose operations are known, since PyTorch's C++ calls end the process at
    some (`aten._foreach_norm` in 2.13).
    """
    function = step.func
    assert isinstance(function, FunctionType)
    code = function.__code__.replace(co_name=f"update_{next(_GRAPHS)}")
    own = FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)
    options: dict[str, Any] = {"size_asserts": False, "alignment_asserts": False}
    options["cpp_wrapper"] = from_cpp and replayed is None
    unchecked = getattr(torch.compiler, "skip_all_guards_unsafe", None)
    if unchecked is not None:
        options["guard_filter_fn"] = unchecked
    if replayed is not None:
        options["triton.cudagraphs"] = True
        for tensor in replayed:
            torch._dynamo.mark_static_address(tensor)
    graph = torch.compile(own, fullgraph=True, dynamic=False, options=options)
    return partial(graph, *step.args)
