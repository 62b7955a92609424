from __future__ import annotations

import subprocess
import sys

import pytest

# Of twelve tensors of 8 MiB, made anew ten times after three times, in a thread as Ray has it.
PROGRAM = """
import resource, sys, threading
import torch
from rnnlane.training.memory import keep_freed_memory

def faults():
    def make():
        return [torch.ones(2**21) for _ in range(12)]
    for _ in range(3):
        make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        make()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

if sys.argv[1] == "keep":
    keep_freed_memory()
thread = threading.Thread(target=faults)
thread.start()
thread.join()
"""


def page_faults(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep freed memory")
def test_tensors_made_anew_find_their_memory_there() -> None:
    assert page_faults("keep") < 1000 < page_faults("default")
