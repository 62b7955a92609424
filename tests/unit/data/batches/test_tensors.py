from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.tensors import BatchMaker, fits

CPU = torch.device("cpu")


def split_of(*token_lists: list[int]) -> EncodedSplit:
    """Row i has label i + 1."""
    return EncodedSplit(
        token_ids=np.array([token for tokens in token_lists for token in tokens], dtype=np.int32),
        offsets=np.cumsum([0, *map(len, token_lists)]),
        labels=np.arange(1, len(token_lists) + 1),
    )


SPLIT = split_of([5, 6], [7], [8, 9, 3])


def test_rows_are_padded_on_the_right_to_the_longest_in_the_order_given() -> None:
    batch = BatchMaker(SPLIT, CPU)(np.array([0, 1]))

    assert batch.token_ids.tolist() == [[5, 6], [7, 0]]
    assert batch.lengths.tolist() == [2, 1]
    assert batch.labels.tolist() == [1, 2]
    assert batch.weights.tolist() == [1.0, 1.0]


def test_tensors_have_the_promised_types() -> None:
    batch = BatchMaker(SPLIT, CPU)(np.array([2]))

    assert batch.token_ids.dtype == batch.lengths.dtype == batch.labels.dtype == torch.int64
    assert batch.weights.dtype == torch.float32


def test_missing_rows_are_filled_with_padding_rows_of_weight_zero() -> None:
    batch = BatchMaker(SPLIT, CPU)(np.array([2, 0]), num_rows=4)

    assert batch.token_ids.tolist() == [[8, 9, 3], [5, 6, 0], [0, 0, 0], [0, 0, 0]]
    assert batch.lengths.tolist() == [3, 2, 1, 1]
    assert batch.labels.tolist() == [3, 1, 0, 0]
    assert batch.weights.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_a_batch_may_be_padding_only() -> None:
    batch = BatchMaker(SPLIT, CPU)(np.array([], dtype=np.int64), num_rows=2)

    assert batch.token_ids.tolist() == [[0], [0]]
    assert batch.lengths.tolist() == [1, 1]
    assert batch.weights.sum() == 0


@pytest.mark.parametrize(("rows", "num_rows"), [([0, 1], 1), ([], None), ([], 0)])
def test_too_few_rows_are_refused(rows: list[int], num_rows: int | None) -> None:
    with pytest.raises(ValueError, match="num_rows must hold"):
        BatchMaker(SPLIT, CPU)(np.array(rows, dtype=np.int64), num_rows=num_rows)


@settings(deadline=None)
@given(
    token_lists=st.lists(
        st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=9
    ),
    data=st.data(),
)
def test_every_real_token_comes_back(token_lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(token_lists) - 1), min_size=1, unique=True))
    extra = data.draw(st.integers(0, 3))

    batch = BatchMaker(split_of(*token_lists), CPU)(np.array(rows), num_rows=len(rows) + extra)

    for position, row in enumerate(rows):
        tokens = batch.token_ids[position].tolist()
        assert tokens[: len(token_lists[row])] == token_lists[row]
        assert not any(tokens[len(token_lists[row]) :])
    assert len(batch.weights) == len(rows) + extra
    assert batch.weights.sum() == len(rows)


def test_tokens_stay_on_a_gpu_that_has_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    share = 1.0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 8000))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _: share)

    assert fits(500, torch.device("cuda"))
    assert not fits(501, torch.device("cuda"))
    assert fits(10**15, CPU)
    share = 0.1
    assert fits(400, torch.device("cuda"))
    assert not fits(401, torch.device("cuda"))


@pytest.mark.filterwarnings("error")
def test_read_only_tokens_are_read_in_place() -> None:
    tokens = SPLIT.token_ids.copy()
    tokens.flags.writeable = False
    make_batch = BatchMaker(EncodedSplit(tokens, SPLIT.offsets, SPLIT.labels), CPU)

    assert make_batch._tokens.data_ptr() == tokens.ctypes.data
    assert make_batch(np.array([1])).token_ids.tolist() == [[7]]
