from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.pretraining import streams
from rnnlane.pretraining.streams import Corpus, corpus_of, cut, joined, streams_of, text_order

SEPARATOR = 99


def corpus(texts: list[list[int]]) -> Corpus:
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    return Corpus(np.array([n for text in texts for n in text], dtype=np.int32), offsets)


TEXTS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=12)


def test_texts_are_joined_by_separators_in_either_direction(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streams, "_TEXTS_AT_ONCE", 2)
    texts, order = corpus([[1, 2, 3], [4], [5, 6]]), np.array([2, 0, 1])
    forward = joined(texts, order, separator=SEPARATOR)
    assert forward.tolist() == [5, 6, 99, 1, 2, 3, 99, 4, 99]
    backward = joined(texts, order, separator=SEPARATOR, backward=True)
    assert backward.tolist() == [6, 5, 99, 3, 2, 1, 99, 4, 99]


def test_a_stream_goes_on_where_the_last_ends():
    found = cut(np.array([1, 2, 99, 3, 99], np.int32), 2, separator=SEPARATOR)
    assert found.targets.tolist() == [[1, 2, 99], [3, 99, 0]]
    assert found.inputs.tolist() == [[99, 1, 2], [99, 3, 0]]
    pieces = list(found.chunks(2))
    assert [piece.targets.tolist() for piece in pieces] == [[[1, 2], [3, 99]], [[99], [0]]]
    assert len(pieces) == found.num_chunks(2)
    assert [p.inputs.tolist() for p in found.chunks(2, start=1)] == [pieces[1].inputs.tolist()]


@given(TEXTS, st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_every_token_is_a_target_once_an_epoch(texts, num_streams, size, backward):
    order = text_order(len(texts), seed=1, epoch=2)
    found = streams_of(
        corpus(texts), num_streams, order=order, separator=SEPARATOR, backward=backward
    )
    pieces = list(found.chunks(size))
    targets = np.concatenate([piece.targets.ravel() for piece in pieces])
    expected = Counter(n for text in texts for n in text) + Counter({SEPARATOR: len(texts)})
    assert Counter(targets[targets > 0].tolist()) == expected
    flat, before = found.targets.ravel(), found.inputs.ravel()
    real = flat > 0
    assert before[0] == SEPARATOR
    assert (before[1:][real[1:]] == flat[:-1][real[1:]]).all()


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = {
        at: text_order(50, seed=at[0], epoch=at[1]).tolist() for at in [(0, 1), (0, 2), (1, 1)]
    }
    assert len({tuple(order) for order in orders.values()}) == 3
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert text_order(50, seed=0, epoch=2).tolist() == orders[0, 2]


def test_splits_become_one_corpus_of_which_the_first_texts_can_be_taken():
    def split(texts: list[list[int]]) -> EncodedSplit:
        one = corpus(texts)
        return EncodedSplit(one.token_ids, one.offsets, np.zeros(len(texts), np.int64))

    both = corpus_of([split([[1, 2], [3]]), split([[4, 5, 6]])])
    assert (both.token_ids.tolist(), both.offsets.tolist()) == ([1, 2, 3, 4, 5, 6], [0, 2, 3, 6])
    assert both.num_tokens == 9
    assert [both.first(n).num_texts for n in (1, 3, 4, 5, 8, 9)] == [1, 1, 1, 2, 2, 3]
