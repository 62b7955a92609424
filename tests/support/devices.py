"""The devices that tests run on."""

import pytest
import torch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


def on_gpu(value, **options):
    """A parameter for GPUs only: marked, and skipped where there is none."""
    return pytest.param(value, marks=(pytest.mark.gpu, needs_gpu), **options)
