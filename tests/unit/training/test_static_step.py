"""Steps as a device takes them, on the CPU: memory of their own, few shapes, and graphs."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.plan import plan
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.models.classifier import build_model
from rnnlane.training import loop
from rnnlane.training.feed import TrainFeed
from rnnlane.training.graphs import Graphs
from rnnlane.training.group import WorkerGroup
from rnnlane.training.inputs import FEW, SMALLEST, ShapeRule
from rnnlane.training.loop import Outcome, run_training
from rnnlane.training.step import Stepper, build_optimizer
from support.events import Remembered
from support.graphs import PretendedCapture
from support.runs import ALONE, timeless, tiny_feed, trained
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment

# As a number of the device it has the same value.
RATE = "training.learning_rate=0.0078125"
DROPOUTS = ("model.token_dropout=0.2", "model.head_dropout=0.3")
SMALL = ShapeRule(width_step=4, ids_step=8, is_uniform=True)


def run(monkeypatch, *overrides, capture=None, rule=SMALLEST, start=None, folder=None):
    """A run whose steps are those of a device, and its events."""
    events = Remembered(folder)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "graphs_for", lambda *_: Graphs(capture, events))
        patch.setattr(loop, "Stepper", partial(Stepper, is_static=True))
        patch.setattr(loop, "TrainFeed", partial(TrainFeed, shape_rule=rule))
        config = tiny_experiment(RATE, *overrides)
        outcome = run_training(config, tiny_data(), group=ALONE, events=events, start=start)
    return outcome, events


def assert_same(one: Outcome, other: Outcome) -> None:
    for name, tensor in one.weights.items():
        torch.testing.assert_close(other.weights[name], tensor, atol=0, rtol=0)
    assert timeless(one.history) == timeless(other.history)
    np.testing.assert_array_equal(one.norms, other.norms)


@pytest.mark.parametrize(
    "overrides",
    [
        ("training.clip.policy=none", *DROPOUTS),
        ("training.optimizer=adamw", "training.weight_decay=0.1", "training.clip.max_norm=0.1"),
        ("training.optimizer=sgd", "training.momentum=0.9", "training.clip.policy=auto"),
        ("training.reduction_shards=4", "model.cell=gru", *DROPOUTS),
        ("model.ngrams={bits: 8}", *DROPOUTS),
        (
            "training.epochs=3",
            "training.gradual_unfreezing=true",
            "training.layer_rate_decay=0.5",
        ),
        ("training.adversarial.kind=virtual", *DROPOUTS),
        ("training.adversarial.kind=plain", "model.ngrams={bits: 8}"),
    ],
    ids=["adam", "adamw", "sgd", "shards", "ngrams", "layers", "virtual", "plain"],
)
def test_memory_of_its_own_and_graphs_change_no_bit(monkeypatch, overrides):
    plain = trained(RATE, *overrides)
    assert_same(plain, run(monkeypatch, *overrides)[0])
    capture = PretendedCapture()
    assert_same(plain, run(monkeypatch, *overrides, capture=capture)[0])
    assert capture.num_captured > 0


def test_padding_among_the_ids_changes_no_bit(monkeypatch):
    assert_same(trained(RATE), run(monkeypatch, rule=ShapeRule(ids_step=1024))[0])


def test_padding_among_the_ngrams_changes_no_weight(monkeypatch):
    """Of so few numbers a bucket the zeros move the sums of the gradient's norm: its last bit."""
    ngrams = "model.ngrams={bits: 8, dropout: 0.0}"
    plain = trained(RATE, ngrams)
    padded, _ = run(monkeypatch, ngrams, rule=ShapeRule(ids_step=1024))
    torch.testing.assert_close(padded.weights, plain.weights, atol=0, rtol=0)
    np.testing.assert_array_equal(padded.losses, plain.losses)
    np.testing.assert_allclose(padded.norms, plain.norms, rtol=1e-6)


def test_few_shapes_are_captured_once_each(monkeypatch):
    capture = PretendedCapture()
    run(monkeypatch, "training.epochs=3", capture=capture, rule=SMALL)
    # Widths 4 to 16, and 24 or 32 ids; two graphs of each shape.
    assert 2 <= capture.num_captured <= 2 * 4 * 2


def test_a_run_goes_on_bit_identical_from_any_step(monkeypatch, tmp_path):
    overrides = (*DROPOUTS, "training.checkpoint_every_s=1e-9")
    graphs = partial(run, monkeypatch, *overrides, rule=SMALL)
    whole, events = graphs(capture=PretendedCapture(), folder=tmp_path)
    assert len(events.checkpoints) == 18
    for checkpoint in events.checkpoints[::3]:
        assert_same(whole, graphs(capture=PretendedCapture(), start=checkpoint)[0])


@pytest.mark.parametrize("fails_from", [1, 2, 4, 5])
def test_a_capture_that_fails_leaves_the_run_as_it_is(monkeypatch, fails_from):
    whole, _ = run(monkeypatch, *DROPOUTS, rule=SMALL)
    capture = PretendedCapture(fails_from)
    outcome, events = run(monkeypatch, *DROPOUTS, rule=SMALL, capture=capture)
    assert_same(whole, outcome)
    assert capture.num_captured == fails_from
    (note,) = events.notes
    assert "a step of 12 rows, " in note


def steps_of(stepper, feed, num=5):
    return [
        stepper(batch, max_norm=None, rate=0.5) for batch in itertools.islice(feed.steps(1), num)
    ]


def test_weights_that_moved_are_captured_where_they_are():
    config = tiny_experiment("training.optimizer=sgd")
    model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
    capture = PretendedCapture()
    stepper = Stepper(
        model,
        build_optimizer(model, config.training),
        config.training,
        group=ALONE,
        graphs=Graphs(capture, Remembered()),
        is_static=True,
    )
    feed = tiny_feed(config, shape_rule=ShapeRule(width_step=16, ids_step=32, is_uniform=True))
    steps_of(stepper, feed)
    steps_of(stepper, feed)
    assert capture.num_captured == 2
    weight = model.body.head.weight
    weight.data = weight.data.clone()
    steps_of(stepper, feed)
    assert capture.num_captured == 4


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [
        ("adam", partial(torch.optim.Adam, lr=0.01)),
        ("adamw", partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1)),
        ("sgd", partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
    ],
)
def test_steps_of_few_shapes_are_those_of_a_textbook(optimizer, reference, clip):
    config, split = (
        tiny_experiment(
            f"training.optimizer={optimizer}",
            f"training.weight_decay={0.1 if optimizer == 'adamw' else 0.0}",
            "training.momentum=0.9",
            "model.bidirectional=true",
            "model.pooling=mean",
        ),
        tiny_data().splits["train"],
    )
    model, textbook = (
        build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
        for _ in range(2)
    )
    training = config.training
    stepper = Stepper(
        model, build_optimizer(model, training), training, group=ALONE, is_static=True
    )
    feed = tiny_feed(config, shape_rule=FEW)
    plain = reference(textbook.parameters(), foreach=False)
    steps = plan(split.labels, split.lengths, global_batch_size=12, seed=0, epoch=1)
    for batch, rows in zip(feed.steps(1), steps, strict=True):
        assert batch.shards[0].shape[:3] == (12, 32, 1024)
        result = stepper(batch, max_norm=clip, rate=0.01).result()
        plain.zero_grad()
        read = BatchMaker(split, ALONE.device)(rows)
        logits = textbook(read.token_ids, read.lengths)
        loss = functional.cross_entropy(logits, read.labels)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(textbook.parameters(), clip or torch.inf)
        plain.step()
        assert result.loss == pytest.approx(loss.item(), abs=1e-5)
        assert result.norm == pytest.approx(norm.item(), rel=1e-3)
        assert (result.num_rows, result.num_positions) == (len(rows), 12 * 32)
        assert result.num_tokens == split.lengths[rows].sum()
    for name, tensor in textbook.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, atol=1e-5, rtol=1e-3)


def reviews(num_rows: int) -> EncodedSplit:
    """Rows with the lengths of IMDB reviews cut at 400 tokens, and words as Zipf has them."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(5.35, 0.65, num_rows), 10, 400).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.minimum(random.zipf(1.2, offsets[-1]), 29_998) + 1
    return EncodedSplit(tokens.astype(np.int32), offsets, random.integers(0, 2, num_rows))


def shapes(split, rank, world_size, batch_size, *overrides):
    config = tiny_experiment(f"training.global_batch_size={batch_size}", *overrides)
    group = WorkerGroup(rank, world_size, torch.device("cpu"))
    feed = TrainFeed(
        split, config.training, seed=0, vocabulary_size=30_000, group=group, shape_rule=FEW
    )
    return [[shard.shape for shard in batch.shards] for batch in feed.steps(1)]


@pytest.mark.parametrize("batch_size", [32, 100])
def test_all_workers_come_to_the_same_shape_at_the_same_step(batch_size):
    split = reviews(333)
    alone = shapes(split, 0, 1, batch_size)
    for world_size in (2, 4, 8):
        for rank in range(world_size):
            for (whole,), (own,) in zip(
                alone, shapes(split, rank, world_size, batch_size), strict=True
            ):
                assert own[:3] == (-(-batch_size // world_size), whole.width, whole.num_ids)
    for sharded in shapes(split, 1, 3, batch_size, "training.reduction_shards=8"):
        assert len(set(sharded)) == 1


@pytest.mark.parametrize("batch_size", [32, 512])
def test_an_epoch_has_a_bounded_number_of_shapes(batch_size):
    split = reviews(12_000)
    found = {shape for (shape,) in shapes(split, 0, 1, batch_size)}
    assert {shape.num_rows for shape in found} == {batch_size}
    assert all(shape.width % 32 == 0 and shape.num_ids % 1024 == 0 for shape in found)
    assert 5 <= len(found) <= 60
