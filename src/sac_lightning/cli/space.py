"""A search space, written in Hydra's own words on the command line or in a config."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sac_lightning.core.errors import ConfigError, require


@dataclass(frozen=True)
class Space:
    """What varies, as Optuna's distributions; what does not, as overrides of every trial."""

    varying: dict[str, BaseDistribution]
    fixed: list[str]
    told: dict[str, str]

    @classmethod
    def of(cls, overrides: Iterable[Override]) -> "Space":
        """The last override of a key counts. Raises ConfigError when nothing varies."""
        last = {override.get_key_element(): override for override in overrides}
        sweeps = {key: each for key, each in last.items() if each.is_sweep_override()}
        fixed = [
            f"{key}={each.get_value_element_as_str()}" for key, each in last.items() if key not in sweeps
        ]
        if not sweeps:
            told = "nothing to search for: give one argument as choice(a,b) or interval(0.1,1)"
            raise ConfigError("hydra.sweeper.params", {}, told)
        written = {key: _written(each) for key, each in sweeps.items()}
        return cls({key: _distribution(key, each) for key, each in sweeps.items()}, fixed, written)

    def example(self) -> list[str]:
        """The overrides of one trial, to see whether trials can be composed at all."""
        firsts = {key: _first(distribution) for key, distribution in self.varying.items()}
        return [*self.fixed, *(f"{key}={value}" for key, value in firsts.items())]


def _written(override: Override) -> str:
    return str(override.input_line).partition("=")[2]


def _distribution(key: str, override: Override) -> BaseDistribution:
    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        low, high = float(value.start or 0), float(value.end or 0)
        ok = low < high and (low > 0.0 or "log" not in value.tags)
        told = "must go from a smaller to a larger number, both above 0 with tag(log, ...)"
        require(ok, key, _written(override), told)
        return FloatDistribution(low, high, log="log" in value.tags)
    if isinstance(value, RangeSweep):
        step = value.step or 1
        assert value.start is not None
        assert value.stop is not None
        if all(isinstance(each, int) for each in (value.start, value.stop, step)):
            values = range(int(value.start), int(value.stop), int(step))
            return IntDistribution(values[0], values[-1], step=int(step))
    if isinstance(value, ChoiceSweep | RangeSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    raise ConfigError(key, _written(override), "is no choice, range or interval")


def _first(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low
