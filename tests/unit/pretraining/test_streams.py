import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.pretraining.corpus import Corpus
from rnnlane.pretraining.streams import StreamPiece, Streams, text_order

SEPARATOR = 99


def corpus(texts: list[list[int]]) -> Corpus:
    lengths = np.array([*map(len, texts)], dtype=np.int64)
    tokens = np.array([n for text in texts for n in text], dtype=np.int32)
    return Corpus(tokens, np.cumsum(lengths) - lengths, lengths)


TEXTS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=12)


def whole(found: Streams) -> StreamPiece:
    """All positions of some streams."""
    (piece,) = found.pieces(max(1, found.length))
    return piece


def streams_of(texts: Corpus, num_streams: int, order: list[int], *, backward: bool = False):
    return Streams(
        texts, num_streams, order=np.array(order), separator=SEPARATOR, backward=backward
    )


def test_texts_are_joined_by_separators_in_either_direction():
    texts = corpus([[1, 2, 3], [4], [5, 6]])
    forward = whole(streams_of(texts, 1, [2, 0, 1]))
    assert forward.targets.tolist() == [[5, 6, 99, 1, 2, 3, 99, 4, 99]]
    backward = whole(streams_of(texts, 1, [2, 0, 1], backward=True))
    assert backward.targets.tolist() == [[6, 5, 99, 3, 2, 1, 99, 4, 99]]
    assert backward.inputs.tolist() == [[99, 6, 5, 99, 3, 2, 1, 99, 4]]


def test_a_stream_goes_on_where_the_last_ends():
    found = streams_of(corpus([[1, 2], [3]]), 2, [0, 1])
    assert whole(found).targets.tolist() == [[1, 2, 99], [3, 99, 0]]
    assert whole(found).inputs.tolist() == [[99, 1, 2], [99, 3, 0]]
    pieces = list(found.pieces(2))
    assert [piece.targets.tolist() for piece in pieces] == [[[1, 2], [3, 99]], [[99], [0]]]
    assert [p.inputs.tolist() for p in found.pieces(2, start=1)] == [pieces[1].inputs.tolist()]


@given(TEXTS, st.integers(1, 5), st.integers(1, 4), st.booleans(), st.randoms())
def test_pieces_are_those_of_a_naive_loop(texts, num_streams, size, backward, random):
    order = random.sample(range(len(texts)), len(texts))
    tokens = []
    for number in order:
        tokens += [*(reversed(texts[number]) if backward else texts[number]), SEPARATOR]
    length = -(-len(tokens) // num_streams)
    padding = [0] * (num_streams * length - len(tokens))
    targets = np.array(tokens + padding).reshape(num_streams, length)
    inputs = np.array([SEPARATOR, *tokens[:-1], *padding]).reshape(num_streams, length)
    pieces = list(streams_of(corpus(texts), num_streams, order, backward=backward).pieces(size))
    assert len(pieces) == -(-length // size)
    for number, piece in enumerate(pieces):
        positions = slice(number * size, (number + 1) * size)
        assert piece.targets.tolist() == targets[:, positions].tolist()
        assert piece.inputs.tolist() == inputs[:, positions].tolist()
        assert {one.dtype for one in piece} == {np.dtype(np.int32)}


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = {
        at: text_order(50, seed=at[0], epoch=at[1]).tolist() for at in [(0, 1), (0, 2), (1, 1)]
    }
    assert len({tuple(order) for order in orders.values()}) == 3
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert text_order(50, seed=0, epoch=2).tolist() == orders[0, 2]
