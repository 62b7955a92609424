"""Whole trainings in this process: exact, repeatable, never waited for, bounded in memory."""

import contextlib
import gc
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.models import recurrent
from rnnlane.training import epoch
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import Outcome, TrainingData, run_training
from support.devices import on_gpu
from support.events import Remembered
from support.runs import timeless
from support.tiny import tiny_data, tiny_experiment

# 202 rows in 17 steps an epoch; the last one is short.
NUM_ROWS, NUM_STEPS = 202, 17
VOCABULARY_SIZE = 3000
DEEP = ("model.num_layers=2", "model.bidirectional=true", "model.dropout=0.2")
# Without a GPU there are none.
GRAPHS = pytest.mark.parametrize("cuda_graphs", ["false", on_gpu("true")])
EVERY_CELL = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])


def rows_of_many_lengths(num_rows: int, *, longest: int, seed: int) -> EncodedSplit:
    random = np.random.default_rng(seed)
    lengths = random.integers(2, longest + 1, num_rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    token_ids = random.integers(1, VOCABULARY_SIZE, offsets[-1]).astype(np.int32)
    return EncodedSplit(token_ids, offsets, token_ids[offsets[1:] - 1].astype(np.int64) % 2)


def data_of_many_shapes(device: torch.device) -> TrainingData:
    """On a GPU, whose shapes are few, the rows have up to 200 tokens."""
    longest = 200 if device.type == "cuda" else 20
    splits = {
        name: rows_of_many_lengths(num_rows, longest=longest, seed=num_rows)
        for name, num_rows in {"train": NUM_ROWS, "val": 37, "test": 41}.items()
    }
    return TrainingData(splits=splits, num_classes=2, vocabulary_size=VOCABULARY_SIZE)


def train(device: torch.device, *overrides: str, events=None, start=None, data=None) -> Outcome:
    name = "gpu" if device.type == "cuda" else "cpu"
    config = tiny_experiment(f"runtime.device={name}", *overrides)
    return run_training(
        config,
        data or tiny_data(num_train=NUM_ROWS),
        group=WorkerGroup(0, 1, device),
        events=events or Remembered(),
        start=start,
    )


def assert_same(one: Outcome, other: Outcome) -> None:
    """Bit for bit."""
    np.testing.assert_array_equal(one.losses, other.losses)
    np.testing.assert_array_equal(one.norms, other.norms)
    assert timeless(one.history) == timeless(other.history)
    for name, values in one.weights.items():
        assert torch.equal(values.cpu(), other.weights[name].cpu()), name


@EVERY_CELL
def test_a_gpu_trains_like_a_cpu(device, cell):
    overrides = (f"model.cell={cell}", *DEEP[:2], "training.precision=float32")
    on_cpu = train(torch.device("cpu"), *overrides)
    there = train(device, *overrides)
    np.testing.assert_allclose(there.losses, on_cpu.losses, atol=1e-4)
    np.testing.assert_allclose(there.norms, on_cpu.norms, rtol=1e-2)
    for record, expected in zip(there.history, on_cpu.history, strict=True):
        assert record["val/loss"] == pytest.approx(expected["val/loss"], abs=1e-4)


@EVERY_CELL
def test_a_run_is_repeated_bit_for_bit(device, cell):
    overrides = (f"model.cell={cell}", *DEEP, "training.clip.policy=auto")
    assert_same(train(device, *overrides), train(device, *overrides))


def test_a_run_resumes_bit_for_bit_at_each_of_its_first_20_steps(device, monkeypatch, tmp_path):
    """With one step in flight at most, a checkpoint follows each step."""
    monkeypatch.setattr(epoch, "default_limit", lambda _: 0)
    overrides = (*DEEP, "training.clip.policy=auto", "training.checkpoint_every_s=1e-9")
    events = Remembered(tmp_path)
    whole = train(device, *overrides, events=events)
    assert len(events.checkpoints) == 2 * NUM_STEPS
    # On a CPU, where another test has every step, a few show that this one is right.
    picked = slice(20) if device.type == "cuda" else slice(0, 20, 8)
    for checkpoint in events.checkpoints[picked]:
        assert_same(train(device, *overrides, start=checkpoint), whole)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(("training.optimizer=adam", "training.clip.policy=auto"), id="adam"),
        on_gpu(
            ("training.optimizer=adamw", "model.cell=gru", "training.schedule.kind=cosine"),
            id="adamw",
        ),
        on_gpu(("training.optimizer=sgd", "training.momentum=0.9", "model.cell=rnn"), id="sgd"),
        on_gpu(
            ("training.reduction_shards=4", "model.pooling=max", "training.clip.norm_type=inf"),
            id="shards",
        ),
    ],
)
def test_200_steps_as_graphs_equal_200_launched_ones(device, settings):
    """Of several shapes, with dropout: its masks must be those of the step, not of the capture.

    A note would say that a capture failed, after which steps are launched.
    """
    num_epochs = 12 if device.type == "cuda" else 1
    overrides = (*DEEP, f"training.epochs={num_epochs}", *settings)
    data, events = data_of_many_shapes(device), Remembered()
    launched = train(device, *overrides, data=data)
    captured = train(device, *overrides, "training.cuda_graphs=true", data=data, events=events)
    assert len(launched.losses) == NUM_STEPS * num_epochs
    assert_same(captured, launched)
    assert not [note for note in events.notes if "cuda_graphs" in note]


def test_a_run_with_graphs_resumes_bit_for_bit(device, monkeypatch, tmp_path):
    """The first steps after a restart capture shapes that the run had captured long before."""
    monkeypatch.setattr(epoch, "default_limit", lambda _: 0)
    overrides = (*DEEP, "training.cuda_graphs=true", "training.checkpoint_every_s=1e-9")
    events, data = Remembered(tmp_path), data_of_many_shapes(device)
    whole = train(device, *overrides, events=events, data=data)
    picked = slice(20) if device.type == "cuda" else slice(8, 9)
    for checkpoint in events.checkpoints[picked]:
        assert_same(train(device, *overrides, start=checkpoint, data=data), whole)


@contextlib.contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Refuses whatever waits for the device; a CPU has nothing to wait for."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchronizing"):
            torch.ones(1, device=device).item()
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@GRAPHS
@EVERY_CELL
def test_no_step_waits_for_the_device(device, monkeypatch, cell, cuda_graphs):
    """From the second epoch on: the feed, the step and the reading of results."""
    steps, watched = TrainFeed.steps, []

    def watched_steps(self, epoch, **options):
        if epoch < 2:
            yield from steps(self, epoch, **options)
            return
        with no_waiting(device):
            for batch in steps(self, epoch, **options):
                watched.append(epoch)
                yield batch

    monkeypatch.setattr(TrainFeed, "steps", watched_steps)
    clip = ("training.clip.policy=fixed", "training.clip.max_norm=1.0")
    graphs = f"training.cuda_graphs={cuda_graphs}"
    outcome = train(device, f"model.cell={cell}", *DEEP, *clip, graphs)
    assert watched == [2] * NUM_STEPS
    assert np.isfinite(outcome.losses).all()


class _Memory(Remembered):
    """Remembers at each epoch's end what is in use, in bytes, and how often more was asked for."""

    def __init__(self, device: torch.device):
        super().__init__()
        self._device = device
        self.in_use: list[int] = []
        self.segments: list[int] = []

    def epoch(self, history):
        super().epoch(history)
        gc.collect()
        if self._device.type == "cuda":
            statistics = torch.cuda.memory_stats(self._device)
            self.in_use.append(statistics["allocated_bytes.all.current"])
            self.segments.append(statistics["segment.all.allocated"])
        else:
            tensors = (one for one in gc.get_objects() if type(one) is torch.Tensor)
            self.in_use.append(sum(one.numel() * one.element_size() for one in tensors))
            self.segments.append(0)


@GRAPHS
def test_epochs_take_no_more_memory(device, cuda_graphs):
    """The first three settle the shapes and hold the first best weights."""
    memory = _Memory(device)
    graphs = f"training.cuda_graphs={cuda_graphs}"
    train(device, *DEEP, "training.epochs=5", graphs, events=memory)
    assert len(memory.in_use) == 5
    assert max(memory.in_use[3:]) <= memory.in_use[2]
    assert memory.segments[-1] == memory.segments[2]


def test_the_arithmetic_is_put_back_after_a_run(device):
    def flags():
        return (
            torch.backends.cudnn.allow_tf32,
            torch.backends.cuda.matmul.allow_tf32,
            torch.get_float32_matmul_precision(),
        )

    before = flags()
    for precision in ("auto", "float32"):
        train(device, f"training.precision={precision}", "training.epochs=1")
        assert flags() == before


def test_auto_rounds_products_to_tf32_and_float32_does_not(device):
    sizes = ("model.embedding_dim=96", "model.hidden_size=64", "training.epochs=1")
    on_cpu = train(torch.device("cpu"), *sizes)
    exact = train(device, *sizes, "training.precision=float32")
    rounded = train(device, *sizes, "training.precision=auto")
    np.testing.assert_allclose(exact.losses, on_cpu.losses, atol=1e-4)
    np.testing.assert_allclose(rounded.losses, on_cpu.losses, atol=1e-2)
    assert np.array_equal(rounded.losses, exact.losses) == (device.type == "cpu")


@GRAPHS
def test_a_layer_beyond_the_fast_kernels_trains_and_is_told_on_a_gpu(device, cuda_graphs):
    events = Remembered()
    sizes = ("model.hidden_size=129", "training.epochs=1", f"training.cuda_graphs={cuda_graphs}")
    outcome = train(device, *sizes, events=events)
    assert np.isfinite(outcome.losses).all()
    told = [note for note in events.notes if "128 units" in note]
    assert len(told) == (device.type == "cuda")


@pytest.mark.parametrize("device", [on_gpu("cuda")], indirect=True)
@GRAPHS
@EVERY_CELL
def test_two_streams_change_no_bit(device, monkeypatch, cell, cuda_graphs):
    overrides = (f"model.cell={cell}", *DEEP, f"training.cuda_graphs={cuda_graphs}")
    data = data_of_many_shapes(device)
    one = train(device, *overrides, data=data)
    monkeypatch.setattr(recurrent, "TWO_STREAMS", True)
    assert_same(train(device, *overrides, data=data), one)
