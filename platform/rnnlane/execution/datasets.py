"""The prepared data of a run as data sets of MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from rnnlane.data.prepare.prepared import SPLITS, PreparedData
from rnnlane.tracking.datasets import DatasetInfo

# MLflow refuses a profile of more than 16 MB; and a person reads no longer list.
MAX_CLASSES = 100


def describe_datasets(
    prepared: PreparedData, splits: Sequence[str] = SPLITS
) -> tuple[DatasetInfo, ...]:
    """One data set for each split; the digest of all is the fingerprint of the data.

    The names are made of the source's: ``reviews-train`` of ``/data/reviews.csv``.
    """
    source = prepared.manifest.source
    stem = PurePosixPath(source.location.rstrip("/")).name.partition(".")[0] or source.kind
    return tuple(
        DatasetInfo(
            name=f"{stem}-{split}",
            digest=prepared.fingerprint,
            context=split,
            source=source.location,
            profile=_profile(prepared, split),
        )
        for split in splits
    )


def _profile(prepared: PreparedData, split: str) -> dict[str, object]:
    stats = prepared.manifest.splits[split]
    profile: dict[str, object] = {"num_rows": stats.num_rows, "num_tokens": stats.num_tokens}
    is_short = len(stats.class_counts) <= MAX_CLASSES
    return {**profile, "class_counts": stats.class_counts} if is_short else profile
