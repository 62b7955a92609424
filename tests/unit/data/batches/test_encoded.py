from __future__ import annotations

import numpy as np
import numpy.typing as npt
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
def test_tokens_of_returns_rows_in_the_order_asked(
    split: EncodedSplit, rows: list[int], tokens: list[int], lengths: list[int]
) -> None:
    asked: npt.NDArray[np.int64] = np.array(rows, dtype=np.int64)
    found, found_lengths = split.tokens_of(asked)

    assert found.dtype == np.int32
    assert found.tolist() == tokens
    assert found_lengths.tolist() == lengths
