"""Colors of runs in MLflow's charts: by itself MLflow gives two runs the same now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnlane.tracking.delivery import KEY_TAG
from rnnlane.tracking.internals import COLOR_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Okabe and Ito's, darkened for thin lines: people with color blindness tell them apart.
COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7b4fa3",
    "#6b4e16",
)
PRUNED_COLOR = "#b0b7bf"


def next_color(client: MlflowClient, experiment_id: str) -> str:
    """The color after that of the experiment's newest run; trials do not count.

    Raises:
        Exception: whatever MLflow raises.
    """
    newest = client.search_runs(
        [experiment_id],
        f"tags.`{KEY_TAG}` IS NULL AND tags.`{COLOR_TAG}` IS NOT NULL",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    color = newest[0].data.tags[COLOR_TAG] if newest else COLORS[-1]
    place = COLORS.index(color) if color in COLORS else -1
    return COLORS[(place + 1) % len(COLORS)]
