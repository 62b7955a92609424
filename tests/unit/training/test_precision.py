"""Which arithmetic is allowed, and where; the flags are the process's own on every machine."""

from collections.abc import Iterator

import pytest
import torch

from rnnlane.config.training import TrainingConfig
from rnnlane.training import loop
from rnnlane.training.group import WorkerGroup
from rnnlane.training.precision import served_precision, training_precision, uses_bfloat16
from support.events import Remembered
from support.runs import trained
from support.tiny import tiny_data, tiny_experiment


def tf32() -> tuple[bool, bool]:
    """Whether cuDNN and cuBLAS may round to it."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(params=[(True, False), (False, True)])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[bool, bool]]:
    """What the process had set itself."""
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = request.param
    yield request.param
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False


@pytest.mark.parametrize(
    ("precision", "in_cudnn"), [("auto", True), ("bfloat16", True), ("float32", False)]
)
def test_training_has_tf32_in_recurrent_layers_only(before, precision, in_cudnn):
    config = TrainingConfig(precision=precision)
    with training_precision(config):
        assert tf32() == (in_cudnn, False)
        with served_precision():
            assert tf32() == (False, False)
        assert tf32() == (in_cudnn, False)
    assert tf32() == before
    with pytest.raises(ZeroDivisionError), training_precision(config):
        raise ZeroDivisionError
    assert tf32() == before


def test_a_run_trains_with_tf32_and_scores_without(monkeypatch, before):
    seen = {}

    class Watching(Remembered):
        def epoch(self, history):
            seen["training"] = tf32()

    def score(*arguments, **keywords):
        seen["scoring"] = tf32()
        return real_score(*arguments, **keywords)

    real_score = loop.score
    monkeypatch.setattr(loop, "score", score)
    trained("training.epochs=1", events=Watching())
    assert seen == {"training": (True, False), "scoring": (False, False)}
    assert tf32() == before


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [("auto", "cuda", False), ("bfloat16", "cuda", True), ("bfloat16", "cpu", False)],
)
def test_only_who_asks_for_bfloat16_gets_it(precision, device, expected):
    assert uses_bfloat16(TrainingConfig(precision=precision), torch.device(device)) == expected


@pytest.mark.parametrize(("device", "expected"), [("cuda", 2), ("cpu", 0)])
def test_a_run_on_a_gpu_says_what_is_slow_there(monkeypatch, device, expected):
    """Before anything is computed, so no GPU is needed to see it."""

    def no_model(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_initial_model", no_model)
    config = tiny_experiment(
        "model.hidden_size=129", "training.precision=bfloat16", "runtime.device=auto"
    )
    events, group = Remembered(), WorkerGroup(0, 1, torch.device(device))
    with pytest.raises(KeyboardInterrupt):
        loop.run_training(config, tiny_data(), group=group, events=events)
    assert len(events.notes) == expected


class _NewerSettings:
    """A library of a process that has used torch's newer settings of precision."""

    @property
    def allow_tf32(self) -> bool:
        raise RuntimeError("mix of the legacy and new APIs to set the TF32 status")

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        raise AssertionError("the process decides by itself")


def test_a_process_that_uses_torchs_newer_settings_keeps_them(monkeypatch):
    monkeypatch.setattr(torch.backends, "cudnn", _NewerSettings())
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with served_precision():
            assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
