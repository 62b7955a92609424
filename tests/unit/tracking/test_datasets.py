from __future__ import annotations

import json

import pytest

from rnnlane.tracking.datasets import DatasetInfo, as_contents, as_inputs


def test_mlflow_gets_the_name_the_digest_the_columns_the_figures_and_the_use() -> None:
    info = DatasetInfo("reviews-val", "0123", "val", "/data/reviews.csv", {"num_rows": 3})
    (one,) = as_inputs(json.loads(json.dumps(as_contents([info]))))
    assert (one.dataset.name, one.dataset.digest) == ("reviews-val", "0123")
    assert [(tag.key, tag.value) for tag in one.tags] == [("mlflow.data.context", "val")]
    columns = json.loads(one.dataset.schema)["mlflow_colspec"]
    assert [(column["name"], column["type"]) for column in columns] == [
        ("text", "string"),
        ("label", "string"),
    ]
    assert json.loads(one.dataset.profile) == {"num_rows": 3}


@pytest.mark.parametrize(
    ("address", "kind", "source"),
    [
        ("/data/reviews.csv", "local", {"uri": "/data/reviews.csv"}),
        ("s3://bucket/reviews", "s3", {"uri": "s3://bucket/reviews"}),
        ("https://host/reviews.csv", "http", {"url": "https://host/reviews.csv"}),
        ("hdfs://host/reviews", "external", {"uri": "hdfs://host/reviews"}),
        ("generated", "code", {"tags": {"source": "generated"}}),
    ],
)
def test_mlflow_s_own_classes_read_the_source(
    address: str, kind: str, source: dict[str, object]
) -> None:
    (one,) = as_inputs(as_contents([DatasetInfo("x", "d", "val", address, {})]))
    assert (one.dataset.source_type, json.loads(one.dataset.source)) == (kind, source)
