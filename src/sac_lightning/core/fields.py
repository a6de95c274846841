"""What the options of a config may be, said beside them: `ratio: Annotated[float, Number("(0, 1]")]`.

`check_fields` checks a dataclass when it is made, `check_arguments` the arguments of another constructor.
Without an annotation of this module, a bool must be true or false, a Literal one of its choices, and a
described object one of its class.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from functools import cache, wraps
from inspect import signature
from math import inf
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from sac_lightning.core.errors import as_whole, names_path, number, require, whole

C = TypeVar("C", bound=Callable[..., None])


class Allowed(ABC):
    """What an option may be; `str` of it follows "must be"."""

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Returns whether `value`, converted, is allowed."""

    def converted(self, value: Any) -> Any:
        """Returns `value` as the option keeps it: 1e5 is 100000 where a whole number is meant."""
        return value

    def check(self, key: str, value: Any, otherwise: str = "") -> Any:
        """Returns `value`, converted. Raises ConfigError unless it is allowed."""
        converted = self.converted(value)
        require(self.accepts(converted), key, value, f"must be {self}{otherwise}")
        return converted


class Number(Allowed):
    """Allows the numbers of an interval: `Number("(0, 1]")`. Infinity and NaN are no numbers.

    Args:
        interval: as in mathematics, with -inf and inf for an open end.
        unit: what is counted, e.g. nats.
    """

    noun = "a number"

    def __init__(self, interval: str = "(-inf, inf)", unit: str = "") -> None:
        self.interval, self.unit = interval, unit
        low, high = interval[1:-1].split(",")
        self.low, self.high = float(low), float(high)

    def value(self, value: Any) -> float:
        """Returns `value` as a number, NaN if it is none."""
        return number(value)

    def accepts(self, value: Any) -> bool:
        found = self.value(value)
        above = found > self.low or (self.interval[0] == "[" and found == self.low)
        below = found < self.high or (self.interval[-1] == "]" and found == self.high)
        return above and below

    def __str__(self) -> str:
        noun = f"{self.noun} of {self.unit}" if self.unit else self.noun
        if self.low == -inf:
            finite = noun.replace("a ", "a finite ", 1)
            return finite if self.high == inf else f"{noun} in {self.interval}"
        least = f"of at least {self.low:g}" if self.interval[0] == "[" else f"above {self.low:g}"
        return f"{noun} {least}" if self.high == inf else f"{noun} in {self.interval}"


class Whole(Number):
    """Allows the whole numbers of an interval: `Whole("[1, inf)", "env steps")`.

    Args:
        interval, unit: as for Number.
    """

    noun = "a whole number"

    def value(self, value: Any) -> float:
        return whole(value)

    def converted(self, value: Any) -> Any:
        return as_whole(value)


@dataclass(frozen=True)
class OneOf(Allowed):
    """Allows some texts, or other plain values."""

    choices: tuple[Any, ...]

    def accepts(self, value: Any) -> bool:
        return any(type(value) is type(each) and value == each for each in self.choices)

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.choices))}"


@dataclass(frozen=True)
class ListOf(Allowed):
    """Allows lists, which become tuples.

    Args:
        each: what an entry may be.
        length: how many entries; None for one or more.
    """

    each: Number
    length: int | None = None

    def accepts(self, value: Any) -> bool:
        listed = isinstance(value, tuple) and len(value) > 0
        return listed and self.length in (None, len(value)) and all(map(self.each.accepts, value))

    def converted(self, value: Any) -> Any:
        listed = isinstance(value, Sequence) and not isinstance(value, str)
        return tuple(map(self.each.converted, value)) if listed else value

    def __str__(self) -> str:
        many = str(self.each).replace("a whole number", "whole numbers").replace("a number", "numbers")
        return f"a list of {'one or more' if self.length is None else self.length} {many}"


@dataclass(frozen=True)
class Rule(Allowed):
    """Allows what passes a test.

    Args:
        test: whether a value passes.
        words: what passes, after "must be".
    """

    test: Callable[[Any], bool]
    words: str

    def accepts(self, value: Any) -> bool:
        return self.test(value)

    def __str__(self) -> str:
        return self.words


BOOL = Rule(lambda value: isinstance(value, bool), "true or false")
TEXT = Rule(lambda value: isinstance(value, str) and bool(value.strip()), "text")
FOLDER = Rule(names_path, "the name of a folder")


def check_fields(config: Any, key: str) -> None:
    """Checks and converts the fields of a dataclass object. Raises ConfigError for the first wrong one.

    Args:
        config: a (frozen) dataclass object.
        key: the object's config key, in front of those of its fields; "" for none.
    """
    for name, option in _options(cast(Any, type(config))).items():
        object.__setattr__(config, name, option.check(getattr(config, name), name, key))


def check_arguments(key: str = "") -> Callable[[C], C]:
    """Lets a constructor check and convert its arguments before it begins, as `check_fields` does.

    Args:
        key: the config key of the objects, in front of those of the arguments; "" for none.
    """

    def decorate(constructor: C) -> C:
        options = {name: _option(each.annotation) for name, each in signature(constructor).parameters.items()}

        def check(name: str, value: Any) -> Any:
            return options[name].check(value, name, key) if name in options else value

        @wraps(constructor)
        def checking(*args: Any, **kwargs: Any) -> None:
            # The constructor itself refuses too many arguments and unknown names.
            placed = map(check, options, args)
            named = {name: check(name, value) for name, value in kwargs.items()}
            constructor(*placed, *args[len(options) :], **named)

        return cast(C, checking)

    return decorate


class _Option(NamedTuple):
    """What an annotation allows, nothing in particular where it is None, and whether null is allowed too."""

    allowed: Any  # an Allowed, or a class of Described
    optional: bool

    def check(self, value: Any, name: str, key: str) -> Any:
        if self.allowed is None or (value is None and self.optional):
            return value
        if isinstance(self.allowed, Allowed):
            place = f"{key}.{name}" if key else name
            return self.allowed.check(place, value, ", or null" if self.optional else "")
        self.allowed.check(name, value)
        return value


@cache
def _options(cls: Hashable) -> dict[str, _Option]:
    hints = get_type_hints(cls, include_extras=True)
    return {each.name: _option(hints[each.name]) for each in fields(cast(Any, cls))}


def _option(hint: Any) -> _Option:
    allowed: Any = None
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        allowed = next((mark for mark in marks if isinstance(mark, Allowed)), None)
    kinds = get_args(hint) if NoneType in get_args(hint) else (hint,)
    (kind, *_) = [kind for kind in kinds if kind is not NoneType]
    if allowed is None and kind is bool:
        allowed = BOOL
    elif allowed is None and get_origin(kind) is Literal:
        allowed = OneOf(get_args(kind))
    elif allowed is None and hasattr(kind, "to_spec"):
        allowed = kind
    return _Option(allowed, NoneType in kinds)
