from types import SimpleNamespace

import pytest

from rnnlane.data.prepare.prepared import SourceInfo, SplitStats
from rnnlane.execution.datasets import MAX_CLASSES, describe_datasets


def prepared(location, *, num_classes=2, kind="csv"):
    counts = {f"class{number}": 1 for number in range(num_classes)}
    stats = SplitStats(
        num_rows=num_classes,
        num_tokens=30,
        class_counts=counts,
        length_quantiles={},
        unknown_token_rate=0.0,
    )
    source = SourceInfo(kind=kind, fingerprint="s", location=location)
    manifest = SimpleNamespace(source=source, splits=dict.fromkeys(("train", "val", "test"), stats))
    return SimpleNamespace(manifest=manifest, fingerprint="f")


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("/data/reviews.csv", "reviews"),
        ("/data/reviews.2026.csv.gz", "reviews"),
        ("s3://bucket/folder/", "folder"),
        ("generated", "generated"),
        ("/data/.csv", "csv"),
    ],
)
def test_each_split_is_a_data_set_named_like_the_source(location, name):
    found = describe_datasets(prepared(location))
    assert [one.name for one in found] == [f"{name}-{split}" for split in ("train", "val", "test")]
    assert {one.digest for one in found} == {"f"}
    assert [one.context for one in found] == ["train", "val", "test"]
    assert found[0].profile == {
        "num_rows": 2,
        "num_tokens": 30,
        "class_counts": {"class0": 1, "class1": 1},
    }


def test_only_the_splits_that_are_read_are_described_and_no_endless_list_of_classes():
    (one,) = describe_datasets(prepared("/x", num_classes=MAX_CLASSES + 1), ("val",))
    assert "class_counts" not in one.profile
