"""Objects as plain data, so that a checkpoint holds numbers and names and never a program.

`to_spec` writes a frozen dataclass as a dict with its class's bare name; `from_spec` looks that name up
among the subclasses of a given base that are *already imported*. Nothing in a file can cause an import.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar, cast

from sac_lightning.core.errors import ConfigError, did_you_mean, require
from sac_lightning.core.fields import check_fields

KIND = "kind"
PlainSpec = dict[str, Any]


class Described:
    """Mixin of the frozen dataclasses that a checkpoint describes.

    What their fields may be stands in the annotations: see `fields`.
    """

    # The config key of an object, for messages: alpha, torso, ...
    config_key: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_fields(self, self.config_key)

    @classmethod
    def advice(cls, value: Any) -> str:
        """What to write for `value`, which is no object of this class."""
        return ", ".join(sorted(each.__name__ for each in _family(cls) if each is not cls)) or cls.__name__

    @classmethod
    def check(cls, key: str, value: Any) -> None:
        """Raises ConfigError unless `value`, the argument `key`, is an object of this class."""
        allowed = f"must be an object of {cls.__name__}: {cls.advice(value)}"
        require(isinstance(value, cls), key, value, allowed)

    def to_spec(self) -> PlainSpec:
        """This object as a plain dict of numbers, strings, lists and dicts."""
        values = {field.name: _plain(getattr(self, field.name)) for field in fields(cast(Any, self))}
        return {KIND: type(self).__name__, **values}


T = TypeVar("T", bound=Described)


def from_spec(base: type[T], spec: "PlainSpec | T") -> T:
    """The object that `spec` describes: an imported subclass of `base` (an object passes through).

    Raises ConfigError when no imported class has that name: import your own class before loading.
    """
    if isinstance(spec, base):
        return spec
    if not isinstance(spec, Mapping):
        allowed = f"is a {type(spec).__name__}; must be an object of {base.__name__}: {base.advice(spec)}"
        raise ConfigError(base.__name__, spec, allowed)
    plain: PlainSpec = dict(spec)
    name = plain.pop(KIND, base.__name__)
    known = {cls.__name__: cls for cls in _family(base)}
    if name not in known:
        reason = f"no such class is imported; known: {', '.join(sorted(known))}.{did_you_mean(name, known)}"
        advice = "Import the module that defines your own class first"
        raise ConfigError(base.__name__, name, f"{reason} {advice}")
    return known[name](**{key: _object(value) for key, value in plain.items()})


def _family(base: type[T]) -> list[type[T]]:
    children = [grandchild for child in base.__subclasses__() for grandchild in _family(child)]
    return [base, *children]


def _plain(value: Any) -> Any:
    if isinstance(value, Described):
        return value.to_spec()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _object(value: Any) -> Any:
    if isinstance(value, dict) and KIND in value:
        return from_spec(Described, value)
    if isinstance(value, dict):
        return {key: _object(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_object(item) for item in value)
    return value
