"""Items that a thread makes while the reader works."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

# Seconds after which a maker that waits for room looks whether the reader is still there.
_LOOKS_UP_AFTER_S = 0.1


def made_ahead(items: Iterable[T], *, depth: int) -> Generator[T]:
    """The items in their order, made by a thread that is at most ``depth`` ahead of the reader.

    An error of the maker comes where its item would have come. The thread ends with the iterator:
    when it is exhausted, closed or forgotten.
    """
    made: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    is_read = threading.Event()
    is_read.set()

    def put(item: T | None, error: BaseException | None) -> bool:
        while is_read.is_set():
            try:
                made.put((item, error), timeout=_LOOKS_UP_AFTER_S)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(item, None):
                    return
        except BaseException as error:
            put(None, error)
        else:
            put(None, StopIteration())

    thread = threading.Thread(target=make, name="made-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        is_read.clear()
        thread.join()
