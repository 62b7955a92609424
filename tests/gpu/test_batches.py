"""Batches on a device, against those on the CPU."""

import numpy as np
import pytest
import torch

from rnnlane.data.batches import tensors
from rnnlane.data.batches.tensors import BatchMaker
from support.tiny import tiny_split

SPLIT = tiny_split(20, seed=1)


@pytest.mark.parametrize("is_resident", [True, False])
def test_a_batch_is_the_same_and_on_a_gpu_a_little_wider(device, monkeypatch, is_resident):
    monkeypatch.setattr(tensors, "fits", lambda *_: is_resident)
    rows = np.array([12, 0, 7])
    expected = BatchMaker(SPLIT, torch.device("cpu"))(rows, num_rows=4)
    batch = BatchMaker(SPLIT, device)(rows, num_rows=4)

    width = expected.token_ids.shape[1]
    wider = tensors.WIDTH_STEP_ON_GPUS if device.type == "cuda" else width
    assert batch.token_ids.shape == (4, wider)
    assert torch.equal(batch.token_ids[:, :width].cpu(), expected.token_ids)
    assert not batch.token_ids[:, width:].any()
    for name in ("lengths", "labels", "weights"):
        assert getattr(batch, name).device.type == device.type
        assert torch.equal(getattr(batch, name).cpu(), getattr(expected, name)), name
