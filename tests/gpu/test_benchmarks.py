"""The GPU rows of the benchmarks, at sizes that take a moment."""

import math

import pytest

from benchmarks.gpu import Effort, gpu_rows
from benchmarks.kernels import Kernel, busy_share, largest, recurrent_share
from support.devices import on_gpu

MOMENT = Effort(seconds=0.05, rounds=1, warm_up_s=0.05, profiled_steps=2, num_rows=64)
SMALL = ("model.hidden_size=8", "model.embedding_dim=4", "model.num_layers=1")


@pytest.mark.parametrize("name", ["birnn-3", on_gpu("lstm-1")])
def test_each_row_comes_with_a_value(device, name):
    rows = list(gpu_rows(name, 4, effort=MOMENT, device=device, overrides=SMALL))
    subjects = [row.name.removeprefix(f"{name}, GPU, batch 4: ") for row in rows]
    assert subjects == [
        "against the plain loop",
        "graphs against launched kernels",
        *(["two streams against one"] if name == "birnn-3" else []),
        "device busy",
        "device busy, without graphs",
        "the feed alone against whole steps",
    ]
    assert all(math.isfinite(row.value) and row.value > 0 for row in rows)
    assert all(0 < row.value <= 1 for row in rows if "busy" in row.name)


def test_shares_of_kernels():
    kernels = [Kernel("cudnn_LSTM_fp", 0, 4), Kernel("gemm", 2, 6), Kernel("gemm", 8, 10)]
    assert busy_share(kernels) == 8 / 10
    assert recurrent_share(kernels) == 4 / 10
    assert largest(kernels, 1) == "gemm 60%"
