"""Tests of what only a GPU can show.

They need rnnlane, pytest and hypothesis, and nothing else of this project's development. Those that
take the fixture ``device`` run on the CPU as well, which shows that the test itself is right.
"""

from collections.abc import Iterator

import pytest
import torch

from rnnlane.training.memory import set_torch_variables
from support.devices import on_gpu

set_torch_variables()  # as commands do, before CUDA starts


@pytest.fixture(params=["cpu", on_gpu("cuda")])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device that computes."""
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """References are computed on the CPU; with torch's default threads a busy machine crawls."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
