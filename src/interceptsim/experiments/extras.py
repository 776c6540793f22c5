"""Libraries that only some experiments need: loaded when they are, told in one line where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from interceptsim.errors import ConfigurationError

__all__ = ["extra"]

_EXTRAS = {
    "scipy": "stats",
    "optuna": "optimise",
    "distributed": "dask",
    "cloudpickle": "dask",
    "altair": "viz",
    "vl_convert": "viz",
    "jinja2": "viz",
}


def extra(module: str, needed_by: str) -> Any:
    """Return a module of a library that may be missing, such as "scipy.stats".

    Raise ConfigurationError, which begins with what it is `needed_by` and names the extra to install.
    """
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError:
        wanted = f"needs {library}, which is not installed: pip install 'interceptsim[{_EXTRAS[library]}]'"
        raise ConfigurationError(needed_by, wanted) from None
