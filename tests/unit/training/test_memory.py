"""Tensors that come and go in every step cost few page faults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

# Of tensors of 40 MiB, which glibc gives back to the kernel.
PROGRAM = """
import resource
import torch
from rnnlane.training.memory import use_huge_pages

use_huge_pages()

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(10 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_importing_rnnlane_changes_no_environment_variable() -> None:
    program = "import os; a = dict(os.environ); import rnnlane; assert a == dict(os.environ)"
    subprocess.run([sys.executable, "-c", program], check=True)


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
