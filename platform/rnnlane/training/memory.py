"""How this process's allocator treats the large tensors that come and go in every step."""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3), glibc.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Lets glibc keep what is freed, for the rest of this process; elsewhere does nothing.

    By default glibc gives a step's large tensors back to the kernel and asks for them anew in the
    next step, page by page: a fault each, a third of the time of a step of a 3-layer LSTM.
    Memory once used is then held until the process ends.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    # Ray trains in a thread, whose memory comes in heaps of 64 MiB: each is padded to stay whole.
    mallopt(_TOP_PAD, 64 * 2**20)
