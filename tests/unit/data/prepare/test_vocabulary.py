from __future__ import annotations

import json
import pickle
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.config.text import VocabularyConfig
from rnnlane.data.prepare.keys import word_keys
from rnnlane.data.prepare.vocabulary import (
    PAD_ID,
    UNKNOWN_ID,
    Vocabulary,
    count_tokens,
    merge_counts,
)
from rnnlane.errors import DataError

words = st.sampled_from(["a", "b", "c", "d", "<pad>", "<unk>", "é", "\u2028", ""])
rows = st.lists(st.lists(words, max_size=8), max_size=8)
FITTED = Vocabulary.fit({"a": 9, "b": 5, "c": 5, "d": 1}, VocabularyConfig())


def column(lists: list[list[str]]) -> pa.ListArray:
    return pa.array(lists, type=pa.list_(pa.string()))


def test_tokens_fall_by_count_and_ties_by_code_point() -> None:
    fitted = Vocabulary.fit({"b": 2, "é": 2, "a": 2, "z": 7}, VocabularyConfig(min_count=1))
    assert fitted.tokens == ("<pad>", "<unk>", "z", "a", "b", "é")
    assert fitted.counts == (0, 0, 7, 2, 2, 2)
    assert len(fitted) == 6


def test_rare_and_surplus_tokens_count_as_unknown() -> None:
    fitted = Vocabulary.fit(
        {"a": 9, "b": 5, "c": 5, "d": 1}, VocabularyConfig(min_count=2, max_size=4)
    )
    assert fitted.tokens == ("<pad>", "<unk>", "a", "b")
    assert fitted.counts == (0, 6, 9, 5)
    assert fitted.encode(["a", "c", "d"], max_length=9, keep="head").token_ids.tolist() == [2, 1, 1]


def test_fit_refuses_a_vocabulary_without_a_token() -> None:
    with pytest.raises(DataError, match=r"at least 2 times in train, but none of the 1 diff"):
        Vocabulary.fit({"a": 1}, VocabularyConfig())
    with pytest.raises(DataError, match="none of the 0"):
        Vocabulary.fit({}, VocabularyConfig())


def test_a_text_that_reads_like_padding_is_unknown() -> None:
    fitted = Vocabulary.fit({"<pad>": 99, "<unk>": 50, "a": 3}, VocabularyConfig())
    assert fitted.tokens == ("<pad>", "<unk>", "a")
    assert fitted.counts == (0, 149, 3)
    text = ["<pad>", "<unk>", "a"]
    assert fitted.encode(text, max_length=3, keep="head").token_ids.tolist() == [1, 1, 2]
    assert fitted.encode_column(column([text])).to_pylist() == [[1, 1, 2]]


def test_encode_keeps_the_end_asked_for() -> None:
    assert FITTED.encode(list("abc"), max_length=2, keep="head").token_ids.tolist() == [2, 3]
    assert FITTED.encode(list("abc"), max_length=2, keep="tail").token_ids.tolist() == [3, 4]
    empty = FITTED.encode([], max_length=2, keep="tail").token_ids
    assert empty.dtype == np.int32
    assert empty.shape == (0,)


def test_decode_inverts_encode_for_known_tokens() -> None:
    ids = FITTED.encode(list("cab"), max_length=9, keep="head").token_ids
    assert FITTED.decode(ids) == list("cab")
    assert FITTED.decode([PAD_ID, UNKNOWN_ID]) == ["<pad>", "<unk>"]


@given(rows, st.integers(0, 3))
def test_encoding_a_column_equals_encoding_its_rows(lists, skipped) -> None:
    tokens = column(lists).slice(skipped)
    encoded = FITTED.encode_column(tokens)
    encoded.validate(full=True)
    assert encoded.type == pa.list_(pa.int32())
    assert encoded.to_pylist() == [
        FITTED.encode(row, max_length=99, keep="head").token_ids.tolist() for row in lists[skipped:]
    ]


@given(rows, st.integers(0, 3))
def test_unknown_tokens_have_the_same_keys_in_a_column_as_in_rows(lists, skipped) -> None:
    tokens = column(lists).slice(skipped)
    keys = FITTED.unknown_keys_column(tokens, FITTED.encode_column(tokens))
    keys.validate(full=True)
    assert keys.type == pa.list_(pa.uint32())
    assert keys.to_pylist() == [
        word_keys([token for token in row if token not in FITTED.tokens[2:]]).tolist()
        for row in lists[skipped:]
    ]
    assert keys.to_pylist() == [
        FITTED.encode(row, max_length=99, keep="head").unknown_keys.tolist()
        for row in lists[skipped:]
    ]


def test_a_column_of_null_untyped_or_large_strings_is_encoded() -> None:
    large = pa.array([["a"], None, []], type=pa.list_(pa.large_string()))
    assert FITTED.encode_column(large).to_pylist() == [[2], [], []]
    assert len(FITTED.unknown_keys_column(large, FITTED.encode_column(large)).values) == 0
    untyped = pa.array([[], []])
    assert FITTED.encode_column(untyped).to_pylist() == [[], []]


@given(st.lists(rows, max_size=4))
def test_merged_counts_equal_a_plain_count(blocks) -> None:
    merged = merge_counts(count_tokens(column(block)) for block in blocks)
    assert merged == Counter(token for block in blocks for row in block for token in row)
    assert list(merged) == sorted(merged)


@given(st.dictionaries(st.text(max_size=5), st.integers(1, 9), min_size=1))
def test_the_file_gives_the_vocabulary_back(counts) -> None:
    counts.update(a=3)
    fitted = Vocabulary.fit(counts, VocabularyConfig(min_count=1))
    assert Vocabulary.from_jsonl(fitted.to_jsonl()) == fitted
    assert pickle.loads(pickle.dumps(fitted)) == fitted


def test_the_file_has_a_readable_line_for_each_id() -> None:
    lines = FITTED.to_jsonl().splitlines()
    assert lines[2] == '{"id": 2, "token": "a", "count": 9}'
    assert [json.loads(line)["id"] for line in lines] == list(range(len(FITTED)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1] + lines[-1:] * 2, "line 6: ids must rise by one from 0"),
        (lambda lines: lines[:2] + lines[3:], "line 3: ids must rise by one from 0, but got 3"),
        (lambda lines: [*lines[:4], '{"id": 4, "token": "a", "count": 1}'], "'a' is repeated"),
        (lambda lines: [*lines[:4], '{"id": 4, "tok'], "line 5: Invalid JSON"),
        (lambda lines: [*lines[:4], '{"id": 4, "token": "x"}'], "line 5: count: Field required"),
        (lambda lines: [*lines[:4], '{"id": 4, "token": "x", "count": -1}'], "line 5: count"),
        (lambda lines: [line.replace("<pad>", "pad") for line in lines], "first tokens must be"),
        (lambda lines: [], "line 1: Invalid JSON"),
    ],
)
def test_a_damaged_file_is_refused(change, message) -> None:
    lines = FITTED.to_jsonl().splitlines()
    with pytest.raises(DataError, match=message) as caught:
        Vocabulary.from_jsonl("\n".join(change(lines)))
    assert "\n" not in str(caught.value)
