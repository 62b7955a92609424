from __future__ import annotations

from typing import Any

from rnnlane.data.prepare.prepared import (
    FORMAT_VERSION,
    GroupStats,
    Manifest,
    SourceInfo,
    SplitStats,
)
from rnnlane.data.prepare.report import report_lines


def stats(unknown: float = 0.0, **class_counts: int) -> SplitStats:
    return SplitStats(
        num_rows=sum(class_counts.values()),
        num_tokens=9,
        class_counts=class_counts,
        length_quantiles={},
        unknown_token_rate=unknown,
    )


def manifest(**values: Any) -> Manifest:
    counts = ("dropped", "merged", "conflicts", "repaired", "cut")
    empty = {name: {} for name in ("versions", "files", *counts)}
    return Manifest(
        **{
            **empty,
            "format_version": FORMAT_VERSION,
            "fingerprint": "f",
            "source": SourceInfo(kind="csv", fingerprint="f", location="/x"),
            "config": {"data": {"conflicts": "keep"}, "text": {"tokenizer": "wordpunct"}},
            "code_version": "c",
            "class_names": ("neg", "pos"),
            "vocabulary_size": 1234,
            "splits": {
                "train": stats(neg=700, pos=1300),
                "val": stats(0.0123, neg=70, pos=130),
                "test": stats(neg=7, pos=13),
            },
            "num_rows_read": 2220,
            "num_conflicts": 0,
            "warnings": (),
            "data_folder": "d",
            "created_at": "now",
            "seconds": 1.0,
            **values,
        }
    )


def test_clean_data_has_a_line_for_the_rows_each_split_and_the_vocabulary() -> None:
    assert report_lines(manifest()) == [
        "data: 2,220 rows read, 2,220 used",
        "data: train 2,000 rows: 'neg': 700, 'pos': 1,300",
        "data: val 200 rows: 'neg': 70, 'pos': 130",
        "data: test 20 rows: 'neg': 7, 'pos': 13",
        "data: vocabulary of 1,234 tokens; 1.2% of the val tokens are not in it",
    ]


def test_whatever_was_done_to_the_rows_is_told() -> None:
    lines = report_lines(
        manifest(
            num_rows_read=3240,
            dropped={"null_text": 1000, "val_like_test": 1},
            merged={"duplicates": 19, "train_also_in_test": 0},
            repaired={"invalid_utf8": 2},
            cut={"max_chars": 0, "max_length": 40},
            conflicts={"neg": 5, "pos": 5},
            num_conflicts=5,
            warnings=("the labels 'a' and 'A' are much alike",),
        )
    )
    assert lines[:3] == [
        "data: 3,240 rows read, 2,220 used; dropped: 1,000 without a text, 1 of val that look to "
        "the model like rows of test; merged: 19 of a text and label seen before",
        "data: repaired texts: 2 with undecodable bytes; cut texts: 40 at text.max_length",
        "data: texts with several labels: 5, rows by class 'neg': 5, 'pos': 5 "
        "(data.conflicts: keep)",
    ]
    assert lines[-1] == "warning: the labels 'a' and 'A' are much alike"


def test_a_class_without_a_test_row_is_told() -> None:
    splits = {"train": stats(a=9, b=9), "val": stats(a=1, b=1), "test": stats(a=2, b=0)}
    assert report_lines(manifest(splits=splits, num_rows_read=22))[-1] == (
        "warning: test has no row of 'b'; its metrics are over the other classes"
    )


def test_many_unknown_tokens_are_a_warning() -> None:
    splits = {"train": stats(a=9), "val": stats(0.21, a=1), "test": stats(a=2)}
    lines = report_lines(manifest(splits=splits))
    assert "21.0% of the val tokens" in lines[-2]
    assert "text.tokenizer: characters" in lines[-1]


def test_what_groups_cost_is_told() -> None:
    groups = GroupStats(
        num_groups=1440,
        num_joined=0,
        num_missing=0,
        num_in_test=0,
        largest=250,
        asked={"val": {"neg": 70, "pos": 130}},
        dealt={"val": {"neg": 70, "pos": 130}},
    )
    assert (
        "data: 1,440 groups, none in two splits, the largest of 250 rows; val 200 rows of 200 "
        "asked" in report_lines(manifest(groups=groups))
    )
    more = {
        "num_joined": 2,
        "num_missing": 7,
        "num_in_test": 3,
        "asked": {"test": {"neg": 7, "pos": 13}, **groups.asked},
        "dealt": {"test": {"neg": 6, "pos": 14}, **groups.dealt},
    }
    assert (
        "data: 1,440 groups, none in two splits, the largest of 250 rows; test 20 rows of 20 asked "
        "(furthest off: 'neg', 6 of 7); val 200 rows of 200 asked; 7 rows without a group stand "
        "alone; 2 joined with others that have equal texts; 3 have rows in the official test too"
    ) in report_lines(manifest(groups=groups.model_copy(update=more)))
