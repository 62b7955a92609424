"""How torch allocates large tensors on the CPU."""

from __future__ import annotations

import os

HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}


def use_huge_pages() -> None:
    """Puts large tensors on huge pages, unless the environment sets it already.

    The tensors of a step are allocated and freed again and again; with small pages the kernel
    spends up to a third of the step of a large LSTM on mapping them. Torch reads the variable once,
    at the first tensor of the process.
    """
    for name, value in HUGE_PAGES.items():
        os.environ.setdefault(name, value)
