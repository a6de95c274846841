"""Torsos: the hidden layers between an encoder and the output layer, of actor and critics alike."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

from jaxtyping import Float
from torch import Generator, Tensor, nn

from sac_lightning.core.fields import Number, OneOf, Whole
from sac_lightning.core.spec import Described
from sac_lightning.networks.ensemble import (
    ACTIVATIONS,
    Dropout,
    EnsembleBatchNorm,
    EnsembleBatchRenorm,
    EnsembleLayerNorm,
    EnsembleLinear,
)
from sac_lightning.networks.unit_norm import UnitLinear


class Torso(Described):
    """Hidden layers [N, B, I] -> [N, B, H] with H = hidden_sizes[-1].

    To add one, subclass this as a frozen dataclass whose fields are the options of its YAML file. A module
    of the network that has a method `project_()` is projected after each optimizer step.
    """

    config_key: ClassVar[str] = "torso"
    # Whether it normalises over the batch.
    has_batch_statistics: ClassVar[bool] = False

    @property
    def has_dropout(self) -> bool:
        """Whether it drops features at random in updates, which is for critics alone."""
        return False

    def check_sizes(self, hidden_sizes: Sequence[int]) -> None:
        """Raises ConfigError where layers of these widths cannot be built."""

    @abstractmethod
    def build(self, num: int, size_in: int, hidden_sizes: Sequence[int], generator: Generator) -> nn.Module:
        """Returns the layers of N networks.

        Args:
            num: N, how many networks run side by side: 1 for an actor.
            size_in: I, features that the encoder returns (and the action's numbers, for critics).
            hidden_sizes: width of each layer or block.
            generator: source of the initial weights.
        """

    def build_output(self, num: int, size_in: int, size_out: int, generator: Generator) -> EnsembleLinear:
        """Returns the layer [N, B, size_in] -> [N, B, size_out] after the torso, with a bias."""
        return EnsembleLinear(num, size_in, size_out, generator)


@dataclass(frozen=True)
class Mlp(Torso):
    """Linear layers, each followed by an activation: the network of 1801.01290.

    Args:
        activation: relu, elu, silu or tanh.
    """

    # Of the linear layers: their class, and whether they have a bias.
    linear: ClassVar[type[EnsembleLinear]] = EnsembleLinear
    has_bias: ClassVar[bool] = True
    # Whether the normalisation follows the activation; whether the input is normalised too.
    norm_last: ClassVar[bool] = False
    norm_input: ClassVar[bool] = False
    activation: Annotated[str, OneOf(tuple(ACTIVATIONS))] = "relu"

    def build(self, num: int, size_in: int, hidden_sizes: Sequence[int], generator: Generator) -> nn.Module:
        sizes = pairwise((size_in, *hidden_sizes))
        linear = [self.linear(num, a, b, generator, bias=self.has_bias) for a, b in sizes]
        norms = [self.norm(num, size) for size in hidden_sizes]
        layers = Layers(linear, norms, self.activation, self.norm_last)
        first = self.norm(num, size_in) if self.norm_input else None
        return layers if first is None else nn.Sequential(first, layers)

    def norm(self, num: int, size: int) -> nn.Module | None:
        """Returns the normalisation between a linear layer and its activation, or None."""
        return None


@dataclass(frozen=True)
class LayerNorm(Mlp):
    """An Mlp with LayerNorm before each activation (as in DroQ 2110.02034 and RLPD 2302.02948).

    Args:
        activation: relu, elu, silu or tanh.
        dropout: probability with which an update sets each feature to 0 in front of LayerNorm, in [0, 1);
            for critics alone. 0.01 in DroQ; 0 for none.
    """

    dropout: Annotated[float, Number("[0, 1)")] = 0.0

    @property
    def has_dropout(self) -> bool:
        return self.dropout > 0.0

    def build(self, num: int, size_in: int, hidden_sizes: Sequence[int], generator: Generator) -> nn.Module:
        layers = super().build(num, size_in, hidden_sizes, generator)
        assert isinstance(layers, Layers)
        if self.has_dropout:
            dropped = [nn.Sequential(linear, Dropout(self.dropout, generator)) for linear in layers.linear]
            layers.linear = nn.ModuleList(dropped)
        return layers

    def norm(self, num: int, size: int) -> nn.Module:
        return EnsembleLayerNorm(num, size)


@dataclass(frozen=True)
class BatchNorm(Mlp):
    """An Mlp with BatchNorm before each activation (1502.03167).

    Learns best with `target_network=none`, where stored and next actions share one batch.

    Args:
        activation: relu, elu, silu or tanh.
        momentum: share of the old running statistics that each update keeps, in [0, 1).
        eps: added to the variance, above 0.
    """

    has_batch_statistics: ClassVar[bool] = True
    has_bias: ClassVar[bool] = False  # the mean that is subtracted contains it
    momentum: Annotated[float, Number("[0, 1)")] = 0.99
    eps: Annotated[float, Number("(0, 1)")] = 1e-3

    def norm(self, num: int, size: int) -> nn.Module:
        return EnsembleBatchNorm(num, size, self.momentum, self.eps)


@dataclass(frozen=True)
class BatchRenorm(BatchNorm):
    """Batch Renormalization of the input and after each activation     (CrossQ 1902.05605; 1702.03275)

    Best with target_network=none: the output layer then reads features of one scale.

    Args:
        activation, momentum, eps: as for BatchNorm.
        warm_up: updates in which it is BatchNorm, at least 0.
    """

    has_bias: ClassVar[bool] = True
    norm_last: ClassVar[bool] = True
    norm_input: ClassVar[bool] = True
    warm_up: Annotated[int, Whole("[0, inf)", "updates")] = 100_000

    def norm(self, num: int, size: int) -> nn.Module:
        return EnsembleBatchRenorm(num, size, self.momentum, self.eps, self.warm_up)


@dataclass(frozen=True)
class Xqc(BatchNorm):
    """BatchNorm of the input, then unit-weight layers, BatchNorm, activation     (XQC, 2509.25174)

    Best with target_network=joint_polyak, value_head=categorical and normalization/reward=return_variance.

    Args:
        activation, momentum, eps: as for BatchNorm.
    """

    linear: ClassVar[type[EnsembleLinear]] = UnitLinear
    norm_input: ClassVar[bool] = True

    def build_output(self, num: int, size_in: int, size_out: int, generator: Generator) -> EnsembleLinear:
        return UnitLinear(num, size_in, size_out, generator, bias=True)


class Layers(nn.Module):
    """Repeats linear layer, normalisation (where there is one) and activation, or the last two in turn."""

    def __init__(
        self,
        linear: Sequence[nn.Module],
        norms: Sequence[nn.Module | None],
        activation: str,
        norm_last: bool = False,
    ) -> None:
        super().__init__()
        self.linear = nn.ModuleList(linear)
        self.norms = nn.ModuleList(each for each in norms if each is not None)
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[activation]
        self.norm_last = norm_last

    def forward(self, x: Float[Tensor, "N B I"]) -> Float[Tensor, "N B H"]:
        """Returns the features of the last layer."""
        linear, norms, activation = self.linear, self.norms, self.activation
        if not norms:
            for layer in linear:
                x = activation(layer(x))
            return x
        for layer, norm in zip(linear, norms, strict=True):
            x = norm(activation(layer(x))) if self.norm_last else activation(norm(layer(x)))
        return x
