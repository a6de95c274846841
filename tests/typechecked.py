"""The type checker that tests put on the package: beartype, as lenient as PEP 484 where it must be."""

from collections.abc import Callable
from typing import Any, Self

from beartype import BeartypeConf, BeartypeHintOverrides, beartype

CONF = BeartypeConf(
    is_pep484_tower=True,  # an int is welcome where a float is asked for
    hint_overrides=BeartypeHintOverrides({Self: Any}),  # methods are checked without their class
)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its annotations checked.

    jaxtyping hands over two functions for each of the package: one that takes the arguments, and one that
    takes them again and returns the result. The second need not check the arguments again, which took a
    tenth of the time of a training test or more.
    """
    result = function.__annotations__.get("return", Any)
    if result is not Any:
        function.__annotations__ = {"return": result}
    checking: Callable[..., Any] = beartype(function, conf=CONF)
    return checking
