"""The orders of a split's epochs, each made while the epoch before is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from rnnlane.data.batches.plan import Planner, Rows

# Fewer rows are put in order within some 20 ms, and need no thread.
THREAD_FROM_ROWS = 100_000


class OrdersAhead:
    """Orders of epochs; where there are many rows, a thread makes the one that comes next.

    The thread spends its time in numpy's sorts, outside of Python's lock, and ends with the order.

    Args:
        make_planner: called once, on the thread if there is one.
        num_rows: of the split.
        last_epoch: no order of a later epoch is made ahead; None: of any.
    """

    def __init__(
        self, make_planner: Callable[[], Planner], *, num_rows: int, last_epoch: int | None = None
    ):
        self._make_planner = make_planner
        self._planner: Planner | None = None
        self._is_large, self._last_epoch = num_rows >= THREAD_FROM_ROWS, last_epoch
        self._next: tuple[int, threading.Thread, Future[Rows]] | None = None

    def begin(self, epoch: int) -> None:
        """Says which epoch will probably be asked for next."""
        if not self._is_large or (self._last_epoch is not None and epoch > self._last_epoch):
            return
        self._forget()
        made: Future[Rows] = Future()

        def make() -> None:
            try:
                made.set_result(self._made(epoch))
            except BaseException as error:
                made.set_exception(error)

        thread = threading.Thread(target=make, name="order-ahead", daemon=True)
        self._next = epoch, thread, made
        thread.start()

    def order(self, epoch: int) -> Rows:
        """See :meth:`Planner.order`; the epoch after it is the next one that is made.

        Raises:
            Exception: what the making of this order raised.
        """
        ahead, made = self._next, None
        self._forget()
        if ahead is not None and ahead[0] == epoch:
            made = ahead[2].result()
        order = self._made(epoch) if made is None else made
        self.begin(epoch + 1)
        return order

    def close(self) -> None:
        """Waits for the thread, if there is one; from now on no order is made ahead."""
        self._is_large = False
        self._forget()

    def _forget(self) -> None:
        if self._next is not None:
            self._next[1].join()
            self._next = None

    def _made(self, epoch: int) -> Rows:
        if self._planner is None:
            self._planner = self._make_planner()
        return self._planner.order(epoch)
