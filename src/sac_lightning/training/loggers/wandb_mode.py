"""Whether W&B is used online, offline or not at all."""

import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

from sac_lightning.core.errors import require

MODES = ("auto", "online", "offline", "disabled")


def choose_mode(requested: str = "auto") -> str:
    """`online`, `offline` or `disabled`, decided without the network and without a question.

    `auto` follows WANDB_MODE and W&B's own settings, and is online only where an API key is configured.
    """
    require(requested in MODES, "mode", requested, f"must be one of {', '.join(MODES)}")
    if requested in ("offline", "disabled"):
        return requested
    if requested == "online":
        require(
            _has_key(), "mode", requested, "online needs an API key: run `wandb login`, or set WANDB_API_KEY"
        )
        return requested
    said = os.environ.get("WANDB_MODE", "").lower() or _setting("mode")
    if said == "disabled":
        return "disabled"
    return "offline" if said in ("offline", "dryrun") or not _has_key() else "online"


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or _setting("base_url")).netloc
    places = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for place in places:
        try:
            entry = netrc.netrc(Path(place).expanduser()).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if entry and entry[2]:
            return True
    return bool(_setting("api_key"))


def _setting(key: str) -> str:
    """A value of W&B's own settings files, which `wandb offline` and `wandb login` write."""
    import wandb

    return str(getattr(wandb.setup().settings, key, None) or "")
