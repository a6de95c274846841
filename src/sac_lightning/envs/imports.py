"""Which modules a configuration may import, and importing them."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from sac_lightning.core.errors import ConfigError

ALWAYS = ("gymnasium", "sac_lightning")


def allowed_import(module: str, key: str, allowed_prefixes: Sequence[str] = ()) -> ModuleType:
    """Import `module` (a dotted name) when it lies under an allowed prefix.

    Raises ConfigError on `key` when the prefix is not allowed, or when the module or something it
    needs is not installed.
    """
    prefixes = (*ALWAYS, *allowed_prefixes)
    if not isinstance(module, str):
        raise ConfigError(key, module, "each must be a module's name")
    if not any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes):
        root = module.partition(".")[0]
        raise ConfigError(
            key,
            module,
            f"only {', '.join(prefixes)} may be imported; "
            f"if you trust this module, name it: env.allowed_prefixes=[{root}]",
        )
    try:
        return import_module(module)
    except (ImportError, ValueError) as error:
        raise ConfigError(key, module, f"it cannot be imported ({error})") from error
