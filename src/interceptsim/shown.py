"""What makes results show themselves in notebooks: charts under `plot`, a table where one is the value of a cell.

Charts are far above results, and loaded by name when somebody looks.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Shown"]


class Shown:
    """Something that has charts under `plot` and a table of its own in notebooks."""

    @property
    def plot(self) -> Any:
        """The charts of this, as methods that return Altair charts: `plot.funnel()`, and others that `dir` lists.

        Charts raise ConfigurationError where Altair is missing or there is nothing of the kind to draw.
        """
        return importlib.import_module("interceptsim.report.plots").plots_of(self)

    def _repr_html_(self) -> str:
        """Return the table that notebooks show."""
        text: str = importlib.import_module("interceptsim.report.plots").html_of(self)
        return text
