"""Ctrl-C, and a notebook's stop button, while a verb runs: the process stays usable."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_LATER_S = 0.05
_IMPORT_SYSTEM = "<frozen importlib"


@contextlib.contextmanager
def whole_imports() -> Iterator[None]:
    """Lets Ctrl-C in its block wait while a module is imported.

    A verb imports torch, Ray and MLflow, which takes seconds. What an interrupted import leaves is
    broken for the rest of the process: a notebook's kernel would have to be restarted.

    Does nothing outside the main thread, or where someone else handles Ctrl-C. An import that the
    verb itself is called in, as by a module that trains, does not count: it would never end.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt(set(_frames(inspect.currentframe()))))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(outer: set[FrameType]) -> Callable[[int, FrameType | None], None]:
    """The handler; ``outer`` are the frames that were there before the block."""

    def interrupt(_signal: int, frame: FrameType | None) -> None:
        inner = itertools.takewhile(lambda each: each not in outer, _frames(frame))
        if not any(each.f_code.co_filename.startswith(_IMPORT_SYSTEM) for each in inner):
            raise KeyboardInterrupt
        # Not by SIGALRM, which may be the user's own; nor by _thread.interrupt_main, which leaves a
        # thread that waits for a lock waiting.
        again = signal.pthread_kill, (threading.get_ident(), signal.SIGINT)
        later = threading.Timer(_LATER_S, *again)
        later.daemon = True
        later.start()

    return interrupt


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back
