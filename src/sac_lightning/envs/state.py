"""The simulator state of vector envs (placeholder: no env is supported yet)."""

from typing import Any


def capture(envs: Any) -> dict[str, Any] | None:
    """Nothing can be captured."""
    return None


def restore(envs: Any, state: dict[str, Any]) -> None:
    """Nothing to restore."""


def guarantee(envs: Any) -> str:
    """No promise."""
    return "episode-restart"
