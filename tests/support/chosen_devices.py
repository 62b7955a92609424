"""On which devices models are put, on a machine that pretends to have a GPU."""

import pytest
import torch

from rnnlane.inference.predictor import Predictor


def chosen_devices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Filled with the kind of device of each model that is loaded from now on, on the CPU."""
    devices: list[str] = []
    load = Predictor.load

    def on_cpu(folder, *, device):
        devices.append(device.type)
        return load(folder)

    monkeypatch.setattr(Predictor, "load", on_cpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return devices
