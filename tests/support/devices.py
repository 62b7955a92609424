"""The devices that tests run on."""

import pytest
import torch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


def on_gpu(name: str):
    """A parameter that names a GPU: marked, and skipped where there is none."""
    return pytest.param(name, marks=(pytest.mark.gpu, needs_gpu))
