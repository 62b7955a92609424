"""How torch allocates large tensors on the CPU, and what is said where memory runs out."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Iterator

from rnnlane.errors import ResourceError, first_line

# Of torch, CUDA, cuBLAS and cuDNN, which raise RuntimeError.
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|ALLOC_FAILED", re.IGNORECASE)
HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}


def use_huge_pages() -> None:
    """Puts large tensors on huge pages, unless the environment sets it already.

    The tensors of a step are allocated and freed again and again; with small pages the kernel
    spends up to a third of the step of a large LSTM on mapping them. Torch reads the variable once,
    at the first tensor of the process.
    """
    for name, value in HUGE_PAGES.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def readable_memory_errors(
    work: str = "training",
    *,
    remedy: str = "lower training.global_batch_size, text.max_length or model.hidden_size",
) -> Iterator[None]:
    """Turns a failed allocation in its block, on a CPU or a GPU, into an error for the user.

    Args:
        work: what is done in the block.
        remedy: what to do about it.

    Raises:
        ResourceError: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        raise ResourceError(
            f"{work} needs more memory than there is: {first_line(error)}",
            where=platform.node(),
            remedy=remedy,
        ) from error
