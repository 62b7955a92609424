"""Checks of GPUs. No GPU is needed: NVML is replaced, and torch trains on the CPU."""

import sys
from types import SimpleNamespace

import pytest
import torch

from rnnlane.doctor import gpus
from rnnlane.doctor.gpus import gpu_findings, nccl_finding, training_trouble
from support.nvml import with_gpus


def test_without_gpus_one_line_says_so_and_torch_is_not_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("torch was asked"))
    (finding,) = gpu_findings(in_cluster=0.0)
    assert (finding.what, finding.ok, finding.found) == ("GPUs", True, "none; training uses CPUs")


@pytest.fixture
def no_gpu_for_torch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    return monkeypatch


def test_the_gpus_of_a_cluster_are_not_those_of_this_machine(no_gpu_for_torch):
    no_gpu_for_torch.setitem(sys.modules, "pynvml", None)
    (finding,) = gpu_findings(in_cluster=8.0)
    assert finding.ok
    assert finding.found == "none on this machine; Ray has 8"


@pytest.mark.parametrize(
    ("cuda", "remedy"), [(None, "install torch's CUDA build"), ("13.0", "made for CUDA 13.0")]
)
def test_gpus_that_torch_does_not_see_are_a_problem(no_gpu_for_torch, cuda, remedy):
    with_gpus(no_gpu_for_torch)
    no_gpu_for_torch.setattr(torch.version, "cuda", cuda)
    (finding,) = gpu_findings(in_cluster=0.0)
    assert not finding.ok
    assert finding.found == f"2, driver 580.65.06, but torch {torch.__version__} sees none"
    assert remedy in finding.remedy


@pytest.fixture
def one_gpu(monkeypatch):
    """One that torch sees as well."""
    with_gpus(monkeypatch)
    known = SimpleNamespace(name="NVIDIA H100", total_memory=80 << 30, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: known)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    return monkeypatch


def test_each_gpu_has_a_line_and_then_nccl(one_gpu):
    one_gpu.setattr(gpus, "training_trouble", lambda device: "")
    gpu, nccl = gpu_findings(in_cluster=1.0)
    assert (gpu.what, gpu.ok) == ("GPU 0", True)
    assert gpu.found == "NVIDIA H100, 80.0 GiB, compute capability 9.0, driver 580.65.06"
    assert nccl.what == "NCCL"


def test_a_gpu_that_cannot_train_is_a_problem(one_gpu):
    gpu, _ = gpu_findings(in_cluster=1.0)
    assert not gpu.ok
    assert "driver 580.65.06: an LSTM cannot be trained there: " in gpu.found
    assert "sm_80, sm_90" in gpu.remedy


def test_an_lstm_is_trained_and_its_gradient_compared(monkeypatch):
    assert training_trouble(torch.device("cpu")) == ""
    real = gpus._gradient
    calls = []

    def wrong_the_second_time(*arguments):
        calls.append(arguments)
        return real(*arguments) * (1.0 if len(calls) == 1 else 1.1)

    monkeypatch.setattr(gpus, "_gradient", wrong_the_second_time)
    assert "another gradient" in training_trouble(torch.device("cpu"))
    monkeypatch.setattr(gpus, "_gradient", lambda *_: torch.tensor([torch.nan]))
    assert "another gradient" in training_trouble(torch.device("cpu"))


@pytest.mark.parametrize("is_there", [True, False])
def test_nccl_is_there_or_a_problem(monkeypatch, is_there):
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: is_there)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 27, 5))
    finding = nccl_finding()
    assert finding.ok is is_there
    assert ("2.27.5" in finding.found) is is_there
