"""Tensors that come and go cost few page faults; memory that runs out is told with a remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rnnlane.errors import ResourceError
from rnnlane.training.memory import (
    CONTEXT_BYTES,
    limit_to_share,
    readable_memory_errors,
    set_torch_variables,
)

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


def raise_in_block(error: Exception, *, gpu_share: float = 1.0) -> None:
    with readable_memory_errors(gpu_share=gpu_share):
        raise error


def test_a_share_of_a_gpu_that_is_too_small_is_named_with_its_remedy() -> None:
    with pytest.raises(ResourceError, match=r"than there is in 0.25 of the GPU") as caught:
        raise_in_block(torch.OutOfMemoryError("CUDA out of memory."), gpu_share=0.25)
    assert str(caught.value.remedy).startswith("raise search.gpus_per_worker, or lower training.")
    with pytest.raises(ResourceError, match="than there is:") as caught:
        raise_in_block(torch.OutOfMemoryError("CUDA out of memory."), gpu_share=0.0)
    assert "gpus_per_worker" not in str(caught.value.remedy)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """The limits that a process on a GPU of 16 GiB sets for itself."""
    limits: list[tuple[float, int]] = []
    gpu = SimpleNamespace(total_memory=16 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *limit: limits.append(limit)
    )
    return limits


def test_trials_on_one_gpu_leave_each_other_their_memory(limits: list[tuple[float, int]]) -> None:
    limit_to_share(0.25)
    ((fraction, device),) = limits
    assert device == 0
    assert fraction * (16 << 30) == pytest.approx((4 << 30) - CONTEXT_BYTES)


def test_whoever_has_the_whole_gpu_has_no_limit(limits: list[tuple[float, int]]) -> None:
    limit_to_share(1.0)
    limit_to_share(0.0)
    assert limits == []


def test_a_share_without_room_for_tensors_is_refused(limits: list[tuple[float, int]]) -> None:
    with pytest.raises(ResourceError) as refused:
        limit_to_share(0.04)
    assert refused.value.message == (
        "a process on a GPU needs 700 MiB and room for tensors, but 0.04 of this one is 655 MiB"
    )
    assert limits == []
