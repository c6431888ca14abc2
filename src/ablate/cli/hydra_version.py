"""What differs between Hydra 1.3 and 1.4 for this program.

Hydra 1.4 makes an object from a configuration only if code permits its `_target_`, and 1.5 will refuse what nothing
permits (https://hydra.cc/docs/advanced/execution_whitelist/). Permitted here are `ablate`, `torch`, `torchvision`, and
every package or module that a level names, but not Python's standard library, where `os.system` is: a configuration is
code and must be trusted (SECURITY.md), and a `_target_` in the standard library is hardly ever meant.
"""

import contextlib
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from ablate.training.identity import flatten
from ablate.training.sources.finding import names

PROGRAM = ("ablate.*", "torch.*", "torchvision.*")
LOOKUPS = ("hydra.utils.get_class", "hydra.utils.get_method", "hydra.utils.get_object")  # `path` is what they name


def permitted(settings: Any) -> tuple[str, ...]:
    """Return the entries of Hydra's whitelist for the settings of a group.

    Example:
        >>> permitted({"_target_": "squared.SquaredReLU", "inner": {"_target_": "os.system", "command": "ls"}})
        ('ablate.*', 'torch.*', 'torchvision.*', 'squared.*')
    """
    found = dict.fromkeys(PROGRAM)
    for key, value in flatten(settings) if isinstance(settings, Mapping) else ():
        for name, is_target in names(key, value):
            package = name.partition(".")[0]
            if is_target and name in LOOKUPS:
                found[name] = None
            elif is_target and package not in {*sys.stdlib_module_names, "hydra"}:
                found[f"{package}.*"] = None
    return tuple(found)


def permitting(settings: Any) -> contextlib.AbstractContextManager[object]:
    """Return the context in which `hydra.utils.instantiate` may make what the settings of a group name."""
    try:
        from hydra.utils import execution_whitelist  # type: ignore[attr-defined,unused-ignore]
    except ImportError:  # Hydra 1.3
        return contextlib.nullcontext()
    context: contextlib.AbstractContextManager[object] = execution_whitelist(permitted(settings))
    return context


def of_main() -> dict[str, Any]:
    """Return the options of `hydra.main` that depend on Hydra's version."""
    import hydra

    if "execution_whitelist" in inspect.signature(hydra.main).parameters:
        return {"execution_whitelist": PROGRAM}
    return {"version_base": "1.3"}


def of_composing() -> dict[str, Any]:
    """Return the options of `hydra.initialize_config_dir` that depend on Hydra's version."""
    return {} if "execution_whitelist" in of_main() else {"version_base": "1.3"}
