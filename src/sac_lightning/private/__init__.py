"""Undocumented parts of other libraries: one module per library, each use behind a function with a fallback.

Any release may rename such a part. A run then continues without it, and one warning names it.
docs/private_apis.md lists all of them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pkgutil import resolve_name
from typing import Any

log = logging.getLogger(__name__)
_reported: set[str] = set()


class MissingApi(RuntimeError):
    """Reports that a library does not have an undocumented part that has no substitute at this place."""

    def __init__(self, api: "PrivateApi") -> None:
        super().__init__(f"{api.missing}, so {api.fallback}")
        self.api = api


@dataclass(frozen=True)
class PrivateApi:
    """Describes one undocumented part of another library.

    Args:
        name: where it is, with dots, such as "torch._guards.tracing".
        purpose: what it is used for.
        fallback: what happens without it.
        package: the distribution that it belongs to, if that is not the first part of `name`.
    """

    name: str
    purpose: str
    fallback: str
    package: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def attribute(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]

    def find(self) -> Any:
        """Returns what the name stands for. Returns None, after one warning, where it is missing."""
        try:
            return resolve_name(self.name)
        except (ImportError, AttributeError):
            self.warn()
            return None

    def require(self) -> Any:
        """Returns what the name stands for. Raises MissingApi where it is missing."""
        try:
            return resolve_name(self.name)
        except (ImportError, AttributeError):
            raise MissingApi(self) from None

    def read(self, owner: Any) -> Any:
        """Returns the attribute of an object. Raises MissingApi where the object does not have it."""
        try:
            return getattr(owner, self.attribute)
        except AttributeError:
            raise MissingApi(self) from None

    def warn(self) -> None:
        """Logs that the part is missing and what follows, once in a process."""
        if self.name not in _reported:
            _reported.add(self.name)
            log.warning("%s, so %s", self.missing, self.fallback)

    @property
    def missing(self) -> str:
        """What is missing, and in which version of which package."""
        package = self.package or self.name.partition(".")[0]
        try:
            return f"{package} {version(package)} does not have {self.name}"
        except PackageNotFoundError:
            return f"{package} does not have {self.name}"


@contextmanager
def warn_if_missing() -> Iterator[None]:
    """Context that ends, after one warning, where a part is missing."""
    try:
        yield
    except MissingApi as error:
        error.api.warn()
