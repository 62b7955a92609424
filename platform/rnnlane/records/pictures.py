"""Pictures of what the records hold, for a notebook."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLOTS = "rnnlane.reports.plots"


def drawn(plot: str, *values: Any, **settings: Any) -> Figure:
    """A picture, by the name of the function that draws it.

    By name because the records know no room to their right, and because a record that nobody draws
    should not import matplotlib.
    """
    figure: Figure = pkgutil.resolve_name(f"{_PLOTS}:{plot}")(*values, **settings)
    return figure
