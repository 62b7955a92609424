"""The ``tracking`` section: where runs are recorded."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from rnnlane.config.section import Seconds, Section


class TrackingConfig(Section):
    """The MLflow store."""

    uri: str | None = Field(
        None,
        description="MLflow store. Default: MLFLOW_TRACKING_URI, else an embedded SQLite file.",
    )
    mlflow_experiment: str = Field(
        "rnnlane", min_length=1, description="The MLflow experiment of the runs."
    )
    run_name: str | None = Field(None, description="Name of the run; default: the experiment's.")
    tags: dict[str, str] = Field(default_factory=dict, description="MLflow tags of each run.")
    system_metrics: bool = Field(
        True,
        description="Log the use of CPU, memory, disk and network of each machine of the run, and "
        "of each worker's GPU.",
    )
    flush_timeout_s: Seconds = Field(
        60.0, description="Seconds to wait at the end for a tracking server that does not answer."
    )

    @field_validator("uri")
    @classmethod
    def _begins_with_its_kind(cls, value: str | None) -> str | None:
        # Which kinds there are is for MLflow to say, when the store is opened.
        if value and value != "databricks" and "://" not in value:
            is_host = re.fullmatch(r"[\w.-]+:\d+(/.*)?", value)
            meant = f"http://{value}" if is_host else "sqlite:///path/to/mlflow.db"
            raise ValueError(
                "must begin with the kind of store, such as http:// or sqlite:///, but got "
                f"{value.rpartition('@')[2]!r}; write {meant}"
            )
        return value
