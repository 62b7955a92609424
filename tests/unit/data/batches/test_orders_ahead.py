import threading

import numpy as np
import pytest

from rnnlane.data.batches.orders_ahead import THREAD_FROM_ROWS, OrdersAhead
from rnnlane.data.batches.plan import Planner


def num_threads() -> int:
    return sum(thread.name == "order-ahead" for thread in threading.enumerate())


class Recorded:
    """A planner that knows which orders were made, and where."""

    def __init__(self, error_at: int | None = None):
        self.made: list[tuple[int, str]] = []
        self.error_at = error_at

    def order(self, epoch: int):
        self.made.append((epoch, threading.current_thread().name))
        if epoch == self.error_at:
            raise MemoryError(f"epoch {epoch}")
        return np.array([epoch])


def orders_of(planner, num_rows=THREAD_FROM_ROWS, **options) -> OrdersAhead:
    return OrdersAhead(lambda: planner, num_rows=num_rows, **options)


def test_the_order_of_the_next_epoch_is_made_beside_this_one():
    planner = Recorded()
    orders = orders_of(planner, last_epoch=3)
    orders.begin(1)
    assert [orders.order(epoch)[0] for epoch in (1, 2, 3)] == [1, 2, 3]
    assert planner.made == [(1, "order-ahead"), (2, "order-ahead"), (3, "order-ahead")]
    orders.close()
    assert num_threads() == 0


def test_an_epoch_that_was_not_expected_is_made_when_it_is_asked_for():
    planner = Recorded()
    orders = orders_of(planner)
    assert [orders.order(epoch)[0] for epoch in (0, 5, 6)] == [0, 5, 6]
    assert planner.made[:2] == [(0, "MainThread"), (1, "order-ahead")]
    assert (5, "MainThread") in planner.made
    assert (6, "order-ahead") in planner.made
    orders.close()


def test_few_rows_need_no_thread():
    planner = Recorded()
    orders = orders_of(planner, num_rows=THREAD_FROM_ROWS - 1)
    orders.begin(1)
    assert [orders.order(epoch)[0] for epoch in (1, 2)] == [1, 2]
    assert planner.made == [(1, "MainThread"), (2, "MainThread")]


def test_an_error_comes_where_the_order_is_asked_for():
    orders = orders_of(Recorded(error_at=2))
    orders.order(1)
    with pytest.raises(MemoryError, match="epoch 2"):
        orders.order(2)
    assert num_threads() == 0


def test_an_error_of_an_order_that_nobody_asks_for_is_nobodys():
    orders = orders_of(Recorded(error_at=2))
    orders.order(1)
    assert orders.order(3)[0] == 3
    orders.order(1)
    orders.close()
    assert num_threads() == 0
    orders.begin(1)
    assert num_threads() == 0


def test_orders_are_those_of_a_planner():
    labels = np.arange(THREAD_FROM_ROWS) % 3
    settings = {"global_batch_size": 512, "seed": 4}
    orders = OrdersAhead(
        lambda: Planner.of_split(labels, labels, **settings), num_rows=len(labels), last_epoch=2
    )
    alone = Planner.of_split(labels, labels, **settings)
    for epoch in (1, 2):
        np.testing.assert_array_equal(orders.order(epoch), alone.order(epoch))
