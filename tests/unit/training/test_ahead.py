import itertools
import threading

import pytest

from rnnlane.training.ahead import made_ahead


def makers() -> int:
    return sum(thread.name == "made-ahead" for thread in threading.enumerate())


def test_all_items_come_in_order_and_the_thread_ends():
    assert list(made_ahead(range(100), depth=3)) == list(range(100))
    assert list(made_ahead([], depth=1)) == []
    assert makers() == 0


def test_an_error_comes_where_its_item_would_have_come():
    def items():
        yield 1
        yield 2
        raise ValueError("the third")

    reader = made_ahead(items(), depth=2)
    assert [next(reader), next(reader)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(reader)
    assert makers() == 0


@pytest.mark.parametrize("depth", [1, 4])
def test_the_maker_is_at_most_so_far_ahead(depth):
    made, reached = [], threading.Event()

    def items():
        for number in itertools.count():
            made.append(number)
            if number == depth:
                reached.set()
            yield number

    reader = made_ahead(items(), depth=depth)
    assert next(reader) == 0
    assert reached.wait(timeout=60)
    # One is made and waits for room.
    assert len(made) <= depth + 2
    reader.close()
    assert makers() == 0


def test_a_reader_that_stops_early_ends_the_thread():
    assert list(itertools.islice(made_ahead(itertools.count(), depth=2), 3)) == [0, 1, 2]
    assert makers() == 0
