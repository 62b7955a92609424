"""Ctrl-C, and a notebook's stop button, while a verb runs: the process stays usable."""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_LATER_S = 0.05
_IMPORT_SYSTEM = "<frozen importlib"


@contextlib.contextmanager
def whole_imports() -> Iterator[None]:
    """Lets Ctrl-C in its block wait while a module is imported.

    A verb imports torch, Ray and MLflow, which takes seconds. What an interrupted import leaves is
    broken for the rest of the process: a notebook's kernel would have to be restarted.

    Does nothing outside the main thread, or where someone else handles Ctrl-C.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(_signal: int, frame: FrameType | None) -> None:
    if not _is_importing(frame):
        raise KeyboardInterrupt
    # As a signal would, but without SIGALRM, which may be the user's own.
    later = threading.Timer(_LATER_S, _thread.interrupt_main)
    later.daemon = True
    later.start()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORT_SYSTEM):
            return True
        frame = frame.f_back
    return False
