"""One gradient update: critics, actor, temperature, targets, in this order; eager or as a single graph."""

import logging
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam

from sac_lightning.ahead import Ahead
from sac_lightning.entropy import Auto, TargetEntropyRule, TemperatureRule
from sac_lightning.graph import Graph, made_of_ours, one_graph
from sac_lightning.heads.base import ActionHead
from sac_lightning.learner import Learner
from sac_lightning.measured import Measured, in_one
from sac_lightning.networks import Actor, ActorConfig, CriticConfig, CriticEnsemble, polyak_update
from sac_lightning.objectives import ActorObjective, AlphaObjective, CriticObjective
from sac_lightning.rng import global_rng_state, restore_global_rng
from sac_lightning.types import Batch, Sample, Scalar

log = logging.getLogger(__name__)
ROWS = len(Batch._fields)
# What a graph gives.
NUMBERS, ACTION, LOG_PROB = "numbers", "action", "log_prob"


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
    grad_steps: Int[Tensor, ""]
    actor_config: ActorConfig
    critic_config: CriticConfig
    gamma: float
    tau: float

    @classmethod
    def of(cls, module: Any) -> "Parts":
        """The parts of a module that has each under its name."""
        own = {each.name: getattr(module, each.name) for each in fields(cls) if each.name != "target_rule"}
        return cls(target_rule=module.entropy.target_rule, **own)


class Update:
    """`update(sample, noise)` -> metrics of one update.

    `sample` is of `[B]` transitions, `noise` `[2, B, noise]`: for the next action and for the actor's. Both
    modes run `_step`; compiled, it is one full graph from the mini-batch to the target networks, with Adam.
    Where PyTorch cannot compile it, one warning is logged and the updates are those of an eager `Update`.
    """

    def __init__(
        self, parts: Parts, optimizers: list[Adam], *, compiled: bool = False, autocast: bool = False
    ) -> None:
        self._parts, self._optimizers, self._autocast = parts, optimizers, autocast
        self._kept: list[Tensor] = []  # the state before a call that may fail
        try:
            self._build(compiled)
        except Exception as error:
            self._give_up_compiling(error)

    def _build(self, compiled: bool) -> None:
        parts, optimizers = self._parts, self._optimizers
        alias = cache(Tensor.detach)
        mode: dict[str, Any] = {"for_graph": compiled, "autocast": self._autocast, "alias": alias}
        critic = CriticObjective(parts.actor, parts.critic, parts.target_critic, parts.head, parts.gamma)
        actor = ActorObjective(parts.actor, parts.critic, parts.head)
        self.critic = Learner(critic, "critic", parts.critic_config, optimizers[0], **mode)
        self.actor = Learner(actor, "actor", parts.actor_config, optimizers[1], **mode)
        self.alpha: Learner | None = None
        if isinstance(parts.temperature, Auto):
            alpha = AlphaObjective(parts.log_alpha, parts.temperature.loss_form)
            self.alpha = Learner(alpha, "", parts.temperature, optimizers[2], **mode)
        self._learners = [each for each in (self.critic, self.actor, self.alpha) if each is not None]
        learned = () if self.alpha is None else ("target_entropy", "alpha_loss")
        told = ("critic_loss", "actor_loss", "alpha", "entropy", "q_mean", *learned)
        self._names = tuple(f"train/{name}" for name in told)
        self._log_alpha = alias(parts.log_alpha)
        self._targets = [alias(weight) for weight in parts.target_critic.parameters()]
        self._acting = {name: alias(weight) for name, weight in parts.actor.named_parameters()}
        self._replayed = compiled and parts.log_alpha.device.type == "cuda"
        self._run = self._compiled() if compiled else self._step_of_sample
        # Calls that may fail for the compiler's sake. A CUDA graph is warmed up, recorded, and then replayed.
        self._trials = (3 if self._replayed else 1) if compiled else 0

    @property
    def acts_ahead(self) -> bool:
        """Whether an update can be given an `Ahead`."""
        return isinstance(self._run, Graph)

    def _compiled(self) -> Callable[..., dict[str, Tensor]]:
        parts = self._parts
        if self._replayed:
            return one_graph(self._step, self._in_place)
        known = made_of_ours(parts.head, parts.temperature, parts.target_rule)
        if not known:
            return one_graph(self._step_of_sample)
        return Graph(self._step_of_sample, any_length=ROWS, before_first_run=self._keep_state)

    @property
    def _in_place(self) -> list[Tensor]:
        """What a step changes where it lies."""
        parts = self._parts
        lasting = [
            parts.target_entropy,
            parts.target_memory,
            parts.env_steps,
            parts.grad_steps,
            self._log_alpha,
            *self._targets,
        ]
        return [*lasting, *(each for learner in self._learners for each in learner.state)]

    def __call__(
        self, sample: Sample, noise: Float[Tensor, "2 B noise"], ahead: Ahead | None = None
    ) -> Measured:
        """With `ahead` it also chooses these actions, with the policy that it has stepped.

        All calls of a compiled update have one or none has.
        """
        for learner in self._learners:
            learner.follow_schedule()
        if self._trials:
            return self._try(sample, noise, ahead)
        return self._update(sample, noise, ahead)

    def _try(self, sample: Sample, noise: Float[Tensor, "2 B noise"], ahead: Ahead | None) -> Measured:
        """One of a compiled update's first calls. If it fails, the eager update starts where it started."""
        rng = global_rng_state()
        if not isinstance(self._run, Graph):  # a Graph asks for it once compiled, when memory is free again
            self._keep_state()
        try:
            measured = self._update(sample, noise, ahead)
            self._trials -= 1
            return measured
        except Exception as error:  # of the compiler, of C++, of the disk: each has its own
            for tensor, value in zip(self._in_place, self._kept, strict=False):  # none kept: none changed
                tensor.copy_(value)
            restore_global_rng(rng)
            self._give_up_compiling(error)
        finally:
            self._kept = []
        return self._update(sample, noise, ahead)  # if the cause was not the compiler, this raises it again

    def _keep_state(self) -> None:
        self._kept = [each.clone() for each in self._in_place]

    def _give_up_compiling(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        log.warning(
            "PyTorch could not compile the update, so this run is eager: slower, otherwise the same. "
            "compile=false does not try. The reason: %s",
            textwrap.shorten(reason, 200, placeholder=" ..."),
        )
        self._build(compiled=False)

    def _update(self, sample: Sample, noise: Float[Tensor, "2 B noise"], ahead: Ahead | None) -> Measured:
        if self._replayed:
            return Measured(self._names, self._replay(sample, noise))
        acting = () if ahead is None else (ahead.obs, ahead.noise)
        told = self._run(*sample.rows, sample.drawn, noise, *acting)
        if ahead is not None:
            ahead.choose(told[ACTION], told[LOG_PROB])
        return Measured(self._names, told[NUMBERS])

    def _replay(self, sample: Sample, noise: Float[Tensor, "2 B noise"]) -> Float[Tensor, " M"]:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # PyTorch has not typed it
        # Gathered before: recorded, the whole buffer would be copied to where the recording wants its inputs.
        # Cloned, for the next replay writes its numbers over these.
        return self._run(*sample.gather(), noise)[NUMBERS].clone()

    def _step_of_sample(self, *tensors: Tensor) -> dict[str, Tensor]:
        """Of a buffer's rows, which of them, noise and, to act ahead, an obs of each env and noise for it."""
        rows, (drawn, noise, *acting) = Batch(*tensors[:ROWS]), tensors[ROWS:]
        told = self._step(*Sample(rows, drawn).gather(), noise)
        if acting:
            told[ACTION], told[LOG_PROB] = self._act(*acting)
        return told

    @torch.no_grad()
    def _act(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        features = functional_call(self._parts.actor, self._acting, (obs,))
        action = self._parts.head.act(features, noise)
        return action, self._parts.head.log_prob(features, action)

    def _step(self, *tensors: Tensor) -> dict[str, Tensor]:
        """Of the fields of a Batch, and noise."""
        *fields, noise = tensors
        batch = Batch(*fields)
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
        self._parts.grad_steps.add_(1)
        assert tuple(metrics) == self._names  # a graph gives numbers without them
        return {NUMBERS: in_one(metrics.values())}

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
