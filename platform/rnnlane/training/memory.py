"""The variables that torch reads when it starts, and what is said where memory runs out."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Iterator

from rnnlane.errors import ResourceError, first_line

# Of torch, CUDA, cuBLAS and cuDNN, which raise RuntimeError.
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|ALLOC_FAILED", re.IGNORECASE)
# Large tensors on huge pages: those of a step are allocated and freed again and again, and with
# small pages the kernel spends up to a third of the step of a large LSTM on mapping them. And a
# workspace of a fixed size for cuBLAS, without which its sums may come in another order.
TORCH_VARIABLES = {"THP_MEM_ALLOC_ENABLE": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def set_torch_variables() -> None:
    """Sets what torch and CUDA read once in a process, unless the environment has it already.

    Must come before the first tensor.
    """
    for name, value in TORCH_VARIABLES.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def readable_memory_errors() -> Iterator[None]:
    """Turns a failed allocation in its block, on a CPU or a GPU, into an error for the user.

    Raises:
        ResourceError: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        raise ResourceError(
            f"training needs more memory than there is: {first_line(error)}",
            where=platform.node(),
            remedy="lower training.global_batch_size, text.max_length or model.hidden_size",
        ) from error
