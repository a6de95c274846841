"""What the page says beside a figure."""

from typing import NamedTuple


class Story(NamedTuple):
    """Title, what was done, what to see, what follows.

    `{name .2f}` is a number of the experiment in that format.
    """

    title: str
    done: str
    see: str
    follows: str
