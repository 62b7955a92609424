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
# What CUDA and its libraries keep on a GPU for each process, beside torch's tensors; on an H100
# some 500 MiB.
CONTEXT_BYTES = 700 << 20
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


def limit_to_share(share: float) -> None:
    """Keeps this process within its share of the memory of its GPU.

    What takes more then fails here, and not in another process on the same GPU.

    Args:
        share: of one GPU; 0 and 1 set no limit.

    Raises:
        ResourceError: the share holds no more than what each process needs besides tensors.
    """
    import torch

    if not 0.0 < share < 1.0:
        return
    whole = torch.cuda.get_device_properties(0).total_memory
    for_tensors = share - CONTEXT_BYTES / whole
    if for_tensors <= 0.0:
        raise ResourceError(
            f"a process on a GPU needs {CONTEXT_BYTES / 2**20:.0f} MiB and room for tensors, but "
            f"{share:g} of this one is {share * whole / 2**20:.0f} MiB",
            where="search.gpus_per_worker",
            remedy="raise it",
        )
    torch.cuda.set_per_process_memory_fraction(for_tensors, 0)


@contextlib.contextmanager
def readable_memory_errors(
    work: str = "training",
    *,
    remedy: str = "lower training.global_batch_size, text.max_length or model.hidden_size",
    gpu_share: float = 1.0,
) -> Iterator[None]:
    """Turns a failed allocation in its block, on a CPU or a GPU, into an error for the user.

    Args:
        work: what is done in the block.
        remedy: what to do about it.
        gpu_share: what this process has of its GPU.

    Raises:
        ResourceError: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        there = "there is"
        if 0.0 < gpu_share < 1.0:
            there = f"there is in {gpu_share:g} of the GPU"
            remedy = f"raise search.gpus_per_worker, or {remedy}"
        raise ResourceError(
            f"{work} needs more memory than {there}: {first_line(error)}",
            where=platform.node(),
            remedy=remedy,
        ) from error
