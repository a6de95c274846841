"""What the options of a config may be: intervals, whole numbers, choices, lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sac_lightning.core.errors import ConfigError
from sac_lightning.core.fields import FOLDER, ListOf, Number, OneOf, Whole, check_arguments
from sac_lightning.core.spec import Described


@dataclass(frozen=True)
class Options(Described):
    """One option of each kind."""

    config_key = "part"
    ratio: Annotated[float, Number("(0, 1]")] = 0.5
    nats: Annotated[float | None, Number(unit="nats")] = None
    steps: Annotated[int, Whole("[1, inf)", "env steps")] = 10
    shape: Annotated[str, OneOf(("linear", "cosine"))] = "linear"
    form: Literal["a", "b"] = "a"
    flag: bool = False
    sizes: Annotated[Sequence[int], ListOf(Whole("(0, inf)"))] = (1,)
    betas: Annotated[Sequence[float], ListOf(Number("[0, 1)"), length=2)] = (0.0, 0.5)
    free: str = "anything"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"ratio": 0.0}, "part.ratio=0.0: must be a number in (0, 1]"),
    ({"ratio": nan}, "part.ratio=nan: must be a number in (0, 1]"),
    ({"ratio": True}, "part.ratio=True: must be a number in (0, 1]"),
    ({"ratio": "0.5"}, "part.ratio=0.5: must be a number in (0, 1]"),
    ({"ratio": None}, "part.ratio=None: must be a number in (0, 1]"),
    ({"nats": inf}, "part.nats=inf: must be a finite number of nats, or null"),
    ({"steps": 0}, "part.steps=0: must be a whole number of env steps of at least 1"),
    ({"steps": 1.5}, "part.steps=1.5: must be a whole number of env steps of at least 1"),
    ({"shape": "square"}, "part.shape=square: must be one of linear, cosine"),
    ({"form": "c"}, "part.form=c: must be one of a, b"),
    ({"flag": 1}, "part.flag=1: must be true or false"),
    ({"sizes": ()}, "part.sizes=(): must be a list of one or more whole numbers above 0"),
    ({"sizes": "12"}, "part.sizes=12: must be a list of one or more whole numbers above 0"),
    ({"sizes": [1, 0]}, "part.sizes=[1, 0]: must be a list of one or more whole numbers above 0"),
    ({"betas": [0.9]}, "part.betas=[0.9]: must be a list of 2 numbers in [0, 1)"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_what_is_not_allowed_is_said_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Options(**options)
    assert str(caught.value) == message


def test_what_people_write_is_converted() -> None:
    made = Options(steps=1e5, sizes=[64, 32.0], ratio=1, nats=-2.5)  # type: ignore[arg-type]  # as YAML may give it
    assert (made.steps, made.sizes) == (100_000, (64, 32))
    assert type(made.steps) is int and all(type(each) is int for each in made.sizes)
    assert (made.ratio, made.nats) == (1, -2.5)
    assert Options(nats=None).nats is None


class Ordinary:
    @check_arguments("part")
    def __init__(
        self,
        steps: Annotated[int, Whole("[1, inf)")],
        folder: Annotated[str | None, FOLDER] = None,
        *,
        flag: bool = False,
        **others: int,
    ) -> None:
        self.all = (steps, folder, flag, others)


def test_arguments_of_a_constructor_are_checked_and_converted() -> None:
    assert Ordinary(1e5, "here", flag=True, more=1.5).all == (100_000, "here", True, {"more": 1.5})  # type: ignore[arg-type]
    assert Ordinary(steps=2).all == (2, None, False, {})
    wrong: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((0,), {}, "part.steps=0: must be a whole number of at least 1"),
        ((1, " "), {}, "part.folder= : must be the name of a folder, or null"),
        ((), {"steps": 1, "flag": 1}, "part.flag=1: must be true or false"),
    ]
    for placed, named, message in wrong:
        with pytest.raises(ConfigError) as caught:
            Ordinary(*placed, **named)
        assert str(caught.value) == message


def test_python_itself_refuses_arguments_that_do_not_exist() -> None:
    with pytest.raises(TypeError, match=r"__init__\(\) takes from 2 to 3 positional arguments"):
        Ordinary(1, "here", True, 1)  # type: ignore[call-arg, misc]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'steps'"):
        Ordinary()  # type: ignore[call-arg]


ends = st.integers(-5, 5)


@given(ends, ends, st.sampled_from("(["), st.sampled_from(")]"), st.floats(-6, 6) | ends)
def test_an_interval_is_that_of_mathematics(low: int, high: int, first: str, last: str, x: float) -> None:
    found = Number(f"{first}{low}, {high}{last}").accepts(x)
    assert found == ((x >= low if first == "[" else x > low) and (x <= high if last == "]" else x < high))
