"""The type checker that tests put on the package: beartype, as lenient as PEP 484 where it must be."""

from typing import Any, Self

from beartype import BeartypeConf, BeartypeHintOverrides, beartype

checked = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,  # an int is welcome where a float is asked for
        hint_overrides=BeartypeHintOverrides({Self: Any}),  # methods are checked without their class
    )
)
