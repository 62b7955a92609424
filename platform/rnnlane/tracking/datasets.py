"""Data sets that a run was trained on, as MLflow lists them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rnnlane.errors import redact
from rnnlane.tracking.internals import DATASET_CONTEXT_TAG

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

# The kinds of sources that MLflow knows, by the scheme of their address.
_SOURCE_TYPES = {"http": "http", "https": "http", "s3": "s3", "gs": "gs", "": "local"}
_COLUMNS = ("text", "label")


@dataclass(frozen=True)
class DatasetInfo:
    """One split of a data set.

    Attributes:
        name: names the data set and the split; one experiment of MLflow has one data set of a name
            and a digest.
        digest: identifies the content; at most 36 characters.
        context: what the run used it for.
        source: address of the rows: a path, a URI, or the kind of a source without either.
        profile: figures about it, such as ``num_rows``.
    """

    name: str
    digest: str
    context: str
    source: str
    profile: Mapping[str, Any]


def as_contents(datasets: Sequence[DatasetInfo]) -> list[dict[str, Any]]:
    """What a record of the outbox holds of data sets."""
    return [asdict(one) | {"source": redact(one.source)} for one in datasets]


def as_inputs(contents: Sequence[Mapping[str, Any]]) -> list[DatasetInput]:
    """What MLflow's client takes, of what :func:`as_contents` gave."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    schema = [{"type": "string", "name": name, "required": True} for name in _COLUMNS]
    inputs = []
    for content in contents:
        source_type, source = _source(content["source"])
        dataset = Dataset(
            name=content["name"],
            digest=content["digest"],
            source_type=source_type,
            source=json.dumps(source),
            schema=json.dumps({"mlflow_colspec": schema}),
            profile=json.dumps(content["profile"]),
        )
        inputs.append(DatasetInput(dataset, [InputTag(DATASET_CONTEXT_TAG, content["context"])]))
    return inputs


def _source(address: str) -> tuple[str, dict[str, Any]]:
    """Kind and description of a source."""
    scheme, _, rest = address.rpartition("://")
    if not scheme and "/" not in rest:  # a kind, such as `generated`: no file has the rows
        return "code", {"tags": {"source": address}}
    kind = _SOURCE_TYPES.get(scheme, "external")
    return kind, {"url" if kind == "http" else "uri": address}
