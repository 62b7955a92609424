"""How MLflow shows the runs of an experiment: a shared view, kept as a tag of the experiment.

MLflow's front end reads the state that its "Share view" button would save. That state is not
documented; a browser test opens it.
"""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rnnlane.tracking.client import one_line
from rnnlane.tracking.internals import KIND_TAG, TRAINING_KIND, VIEW_TAG_PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

VIEW = "rnnlane-1"
"""Key of the view. A changed view needs a new key: people may have changed what is there."""

VIEW_NAME = "rnnlane"
_VIEW_TAG = f"{VIEW_TAG_PREFIX}{VIEW}"
# Any time will do, and with one time two processes write the same.
_CREATED_MS = 1_790_000_000_000
PARALLEL = "parallel"
# What MLflow itself puts there by what it finds; a kind that a person chose stays.
_INFERRED_KINDS = {"", "no_inferred_type", "custom_model_development_inferred"}

# In this order, with their widths in pixels.
_COLUMNS = {
    "attributes.`Run Name`": 240,
    "runDateAndNestInfo": 145,
    "metrics.`best/val/accuracy`": 135,
    "metrics.`test/accuracy`": 110,
    "metrics.`best_epoch`": 90,
    "params.`model.cell`": 90,
    "params.`model.num_layers`": 135,
    "params.`model.hidden_size`": 145,
    "params.`model.bidirectional`": 150,
    "params.`clip/max_norm`": 115,
    "metrics.`throughput/rows_per_s`": 175,
    "duration": 85,
    "attributes.`Dataset`": 220,
    "metrics.`best/val/macro_f1`": 145,
    "metrics.`test/macro_f1`": 120,
}
_ALWAYS_SHOWN = {"attributes.`Run Name`", "runDateAndNestInfo", "duration"}
# Title, columns of charts, height of a chart in pixels, and the metrics, in reading order.
_SECTIONS = (
    ("val and train", 2, 300, ("val/accuracy", "train/accuracy", "val/loss", "train/loss")),
    ("best epoch and test", 3, 260, ("best/val/accuracy", "test/accuracy", "best_epoch")),
    ("settings against best val", 1, 330, (PARALLEL,)),
    (
        "gradients and speed",
        3,
        260,
        ("grad_norm/mean", "grad_norm/clipped_fraction", "throughput/rows_per_s"),
    ),
)
_BARS = ("best", "test/")
_PARALLEL = {
    "type": "PARALLEL",
    "selectedParams": ["model.num_layers", "model.hidden_size", "training.learning_rate"],
    "selectedMetrics": ["best/val/accuracy"],
    "showAllRuns": False,
}


def prepare_experiment(client: MlflowClient, experiment_id: str) -> str | None:
    """Lets MLflow open an experiment as a page of runs, in our view.

    A store that refuses gets a note, not an error: only the look of its pages depends on it.

    Args:
        client: of the store.
        experiment_id: MLflow's id of the experiment.

    Returns:
        The key of the view; None if the experiment has none.
    """
    tags: dict[str, str] = {}
    try:
        tags = dict(client.get_experiment(experiment_id).tags)
        for key, value in experiment_tags(tags).items():
            client.set_experiment_tag(experiment_id, key, value)
            tags[key] = value
    except Exception as error:  # whatever a driver of a database raises
        logger.warning("MLflow shows its runs as it does by default: %s", one_line(error))
    return VIEW if _VIEW_TAG in tags else None


def experiment_tags(existing: Mapping[str, str]) -> dict[str, str]:
    """The tags that an experiment lacks to open as a page of runs; never one that it has.

    Args:
        existing: the experiment's tags.
    """
    wanted = {} if _VIEW_TAG in existing else {_VIEW_TAG: _view()}
    if existing.get(KIND_TAG, "") in _INFERRED_KINDS:
        wanted[KIND_TAG] = TRAINING_KIND
    return wanted


def _view() -> str:
    """The state as each version of MLflow reads it; 5,000 characters at most, up to MLflow 3.16.

    Since 3.15 MLflow lists views by name and reads ``state``; before, the value was the state.
    """
    state = _state()
    text = json.dumps(state, separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    times = {"createdAt": _CREATED_MS, "updatedAt": _CREATED_MS}
    listed = {"name": VIEW_NAME, **times, "state": f"deflate;{packed}"}
    return json.dumps({**listed, **state}, separators=(",", ":"))


def _state() -> dict[str, Any]:
    return {
        "selectedColumns": [column for column in _COLUMNS if column not in _ALWAYS_SHOWN],
        "columnOrder": list(_COLUMNS),
        "columnWidths": _COLUMNS,
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": [
            _chart(metric, section=number)
            for number, (*_, metrics) in enumerate(_SECTIONS)
            for metric in metrics
        ],
        "compareRunSections": [
            {
                "uuid": f"r{number}",
                "name": title,
                "display": True,
                "isReordered": True,
                "columns": num_columns,
                "cardHeight": height_px,
            }
            for number, (title, num_columns, height_px, _) in enumerate(_SECTIONS)
        ],
        "viewMaximized": False,
        "runListHidden": False,
        # Keeps our sections before those that MLflow adds for the other metrics.
        "isAccordionReordered": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
    }


def _chart(metric: str, *, section: int) -> dict[str, Any]:
    chart = {"uuid": f"r-{metric}", "metricSectionId": f"r{section}"}
    if metric == PARALLEL:
        return {**chart, **_PARALLEL}
    chart["metricKey"] = metric
    if metric.startswith(_BARS):
        return {**chart, "type": "BAR"}
    return {**chart, "type": "LINE", "lineSmoothness": 0}
