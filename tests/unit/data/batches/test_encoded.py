from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rnnlane.data.batches.encoded import EncodedSplit


@pytest.fixture
def split() -> EncodedSplit:
    return EncodedSplit(
        token_ids=np.array([5, 6, 7, 8, 9, 3], dtype=np.int32),
        offsets=np.array([0, 2, 3, 6]),
        labels=np.array([1, 0, 1]),
    )


def test_len_and_lengths_count_rows_and_tokens(split: EncodedSplit) -> None:
    assert len(split) == 3
    assert split.lengths.tolist() == [2, 1, 3]


@pytest.mark.parametrize(
    ("rows", "tokens", "lengths"),
    [
        ([0, 1, 2], [5, 6, 7, 8, 9, 3], [2, 1, 3]),
        ([2, 0], [8, 9, 3, 5, 6], [3, 2]),
        ([1, 1], [7, 7], [1, 1]),
        ([], [], []),
    ],
)
def test_take_returns_rows_in_the_order_asked(
    split: EncodedSplit, rows: list[int], tokens: list[int], lengths: list[int]
) -> None:
    found = split.take(np.array(rows, dtype=np.int64))
    assert found.token_ids.dtype == np.int32
    assert found.token_ids.tolist() == tokens
    assert found.lengths.tolist() == lengths
    assert found.labels.tolist() == split.labels[rows].tolist()
    assert found.unknown_keys is None


KEYS_OF_VOCABULARY = np.array([0, 0, 20, 30, 40], dtype=np.uint32)


@pytest.fixture
def keyed() -> EncodedSplit:
    """Rows of words 20, 71, 72 / 30 / 73, 40."""
    return EncodedSplit(
        token_ids=np.array([2, 1, 1, 3, 1, 4], dtype=np.int32),
        offsets=np.array([0, 3, 4, 6]),
        labels=np.array([1, 0, 1]),
        unknown_keys=np.array([71, 72, 73], dtype=np.uint32),
    )


@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        ([0, 1, 2], [20, 71, 72, 30, 73, 40]),
        ([2, 0], [73, 40, 20, 71, 72]),
        ([1, 2, 2], [30, 73, 40, 73, 40]),
        ([], []),
    ],
)
def test_each_token_of_some_rows_has_the_key_of_its_word(keyed, rows, keys) -> None:
    found = keyed.take(np.array(rows, dtype=np.int64)).word_keys(KEYS_OF_VOCABULARY)
    assert found.dtype == np.uint32
    assert found.tolist() == keys


@pytest.mark.parametrize("keys", [None, np.array([71], dtype=np.uint32)])
def test_a_split_without_a_key_of_each_unknown_token_has_none(keyed, keys) -> None:
    with pytest.raises(ValueError, match="each unknown token"):
        replace(keyed, unknown_keys=keys).word_keys(KEYS_OF_VOCABULARY)
