"""The protocol of an action head: a stateless map from features and noise to weighted actions."""

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from sac_lightning.core.errors import require
from sac_lightning.core.spec import Described
from sac_lightning.spaces import ActionSpec
from sac_lightning.types import Scalar, WeightedActions

Features = Float[Tensor, "B F"]  # the actor's outputs


@dataclass(frozen=True)
class Interval:
    """The entropies, in nats, that some policy of a head can have: an end may be infinite."""

    low: float
    high: float


class ActionHead(Described):
    """π(·|s) for one action space. Frozen dataclasses without weights: all learning is in the features.

    Randomness comes in as `noise`, drawn by the caller from a generator of its own: so a head is a pure
    function, the same eager and compiled, and a run can be resumed bit for bit.
    """

    action_space_name: ClassVar[str] = "its own action space"
    # Whether `weighted_actions` gives log π as a sum over action dimensions.
    has_independent_dims: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def supports(cls, action: ActionSpec) -> bool:
        """Whether this head can act in that space."""

    @classmethod
    @abstractmethod
    def sizes_for(cls, action: ActionSpec) -> dict[str, Any]:
        """The constructor's sizes for an action space that fits."""

    @classmethod
    def for_action(cls, action: ActionSpec, **options: Any) -> Self:
        """This head for `action`. Raises ConfigError when it does not fit."""
        allowed = f"is for {cls.action_space_name}; the env has {action}: use head=auto"
        require(cls.supports(action), "head", cls.name(), allowed)
        return cls(**cls.sizes_for(action), **options)

    @classmethod
    def name(cls) -> str:
        """The name under which configs know this head: TanhNormal is tanh_normal."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    @property
    @abstractmethod
    def feature_size(self) -> int:
        """F, the actor's outputs per state."""

    @property
    def noise_size(self) -> int:
        """Random numbers per state that `weighted_actions` reads; 0 when the expectation is exact."""
        return 0

    @property
    def num_actions(self) -> int | None:
        """n if the critic returns the values of all n actions in one pass, None if it reads the action."""
        return None

    @property
    @abstractmethod
    def action_size(self) -> int:
        """A, the numbers in one action that a critic reads (1 for an index)."""

    @property
    def num_discrete(self) -> int:
        """How many discrete choices an action makes one of; 1 where it makes none."""
        return self.num_actions or 1

    @property
    def num_continuous(self) -> int:
        """How many of an action's numbers have a density; 0 where all are choices."""
        return self.action_size if self.num_discrete == 1 else 0

    @property
    @abstractmethod
    def entropy_interval(self) -> Interval:
        """Attainable entropies, in nats, measured in the unit action box."""

    @abstractmethod
    def weighted_actions(self, features: Features, noise: Float[Tensor, "B noise"]) -> WeightedActions:
        """Returns the policy as weighted actions, differentiable in `features`."""

    @abstractmethod
    def act(self, features: Features, noise: Float[Tensor, "B M"]) -> Shaped[Tensor, "B *A"]:
        """One action per state to act with, drawn by `draw_acting_noise`; no gradient, no log_prob."""

    def sample(self, features: Features, generator: torch.Generator) -> Shaped[Tensor, "B *A"]:
        """`act` with noise drawn from `generator`."""
        return self.act(features, self.draw_acting_noise(features.shape[0], generator, features.device))

    def log_prob(self, features: Features, action: Shaped[Tensor, "B *A"]) -> Float[Tensor, " B"]:
        """log π(a|s) of given actions, for diagnostics; NaN from a head without one."""
        return torch.full(features.shape[:1], torch.nan, device=features.device)

    def diagnostics(self, features: Features, actions: WeightedActions) -> dict[str, Scalar]:
        """Returns means over states that describe this head's policy, by name."""
        return {}

    @abstractmethod
    def mode(self, features: Features) -> Shaped[Tensor, "B *A"]:
        """The action that evaluation takes."""

    def draw_noise(
        self, batch: tuple[int, ...], generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "*batch noise"]:
        """Standard normal noise for `batch` states; `[*batch, 0]` for an exact head."""
        return torch.randn(*batch, self.noise_size, generator=generator, device=device)

    def draw_acting_noise(
        self, states: int, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "B M"]:
        """The random numbers that `act` reads: as for `weighted_actions`, unless overridden."""
        return self.draw_noise((states,), generator, device)
