"""Tensors that come and go cost few page faults; memory that runs out is told with a remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rnnlane.errors import ResourceError
from rnnlane.training.memory import readable_memory_errors, set_torch_variables

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

# Of tensors of 40 MiB, which glibc gives back to the kernel.
PROGRAM = """
import resource
import torch
from rnnlane.training.memory import set_torch_variables

set_torch_variables()

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(10 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_importing_rnnlane_changes_no_environment_variable() -> None:
    program = "import os; a = dict(os.environ); import rnnlane; assert a == dict(os.environ)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_the_environment_sets_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"CUBLAS_WORKSPACE_CONFIG": ":16:8"})
    set_torch_variables()
    assert os.environ == {"CUBLAS_WORKSPACE_CONFIG": ":16:8", "THP_MEM_ALLOC_ENABLE": "1"}


def page_faults(**variables: str) -> int:
    environment = {key: value for key, value in os.environ.items() if "THP_MEM" not in key}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text(),
    reason="needs a kernel that gives huge pages to those who ask for them",
)
def test_large_tensors_lie_on_huge_pages() -> None:
    assert page_faults() < 10_000 < page_faults(THP_MEM_ALLOC_ENABLE="0")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 8.00 TiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_memory_that_runs_out_is_told_with_what_to_lower(error: Exception) -> None:
    with pytest.raises(ResourceError, match="needs more memory than there is") as caught:
        raise_in_block(error)
    assert "training.global_batch_size" in str(caught.value.remedy)


def test_a_tensor_that_does_not_fit_is_told_and_other_errors_stay() -> None:
    with pytest.raises(ResourceError, match="you tried to allocate"), readable_memory_errors():
        torch.empty(2**50)
    with pytest.raises(RuntimeError, match="size mismatch"):
        raise_in_block(RuntimeError("size mismatch"))


def raise_in_block(error: Exception) -> None:
    with readable_memory_errors():
        raise error
