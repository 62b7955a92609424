"""Texts without labels that take part in the second loss of a step."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from rnnlane.config import experiment_from_mapping
from rnnlane.config.training import AdversarialConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.prepare.prepared import UNLABELED_SPLIT
from rnnlane.errors import ConfigError
from rnnlane.training import adversary
from rnnlane.training.adversary import Adversary
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.inputs import FEW, NO_LABEL, SMALLEST
from rnnlane.training.loop import run_training
from support.events import Remembered
from support.runs import ALONE, assert_same_run, trained
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment, tiny_split
from support.workers import in_worker_group

SOURCE = "data.unlabeled={source: {kind: text, path: texts}}"
UNLABELED = tiny_split(23, 9)
SHARDS = "training.reduction_shards=4"


def settings(num=5, weight=1.0):
    return SOURCE, f"training.adversarial={{unlabeled: {num}, weight: {weight}}}"


def run(*overrides, group=ALONE, events=None, start=None):
    data = tiny_data()
    data = replace(data, splits={**data.splits, UNLABELED_SPLIT: UNLABELED})
    config = tiny_experiment(*overrides)
    return run_training(config, data, group=group, events=events or Remembered(), start=start)


def feed(*overrides, rank=0, world_size=1, rule=SMALLEST, **changes):
    config, data = tiny_experiment(*overrides), tiny_data()
    return TrainFeed(
        data.splits["train"],
        config.training,
        seed=0,
        vocabulary_size=VOCABULARY_SIZE,
        group=WorkerGroup(rank, world_size, torch.device("cpu")),
        hasher=data.hasher(config.model),
        unlabeled=UNLABELED,
        shape_rule=rule,
        **changes,
    )


def rows_of(inputs, *, with_label):
    """The texts of a shard, as tuples of tokens."""
    chosen = (inputs.weights > 0) & ((inputs.labels != NO_LABEL) == with_label)
    tokens = inputs.ids[inputs.positions]
    return [
        tuple(tokens[row, : inputs.lengths[row]].tolist()) for row in np.flatnonzero(chosen.numpy())
    ]


def texts_of(split: EncodedSplit):
    return [tuple(split.token_ids[a:b].tolist()) for a, b in pairwise(split.offsets)]


@pytest.mark.parametrize("rule", [SMALLEST, FEW])
@pytest.mark.parametrize("world_size", [1, 3])
def test_the_workers_share_the_texts_of_a_step_and_the_labeled_rows_are_as_before(world_size, rule):
    plain = [
        [batch.shards[0].inputs for batch in feed(rank=rank, world_size=world_size).steps(1)]
        for rank in range(world_size)
    ]
    found = [
        list(feed(*settings(), rank=rank, world_size=world_size, rule=rule).steps(1))
        for rank in range(world_size)
    ]
    taken = []
    for step, batches in enumerate(zip(*found, strict=True)):
        shards = [shard.inputs for batch in batches for shard in batch.shards]
        assert {int(inputs.num_unlabeled) for inputs in shards} == {5}
        of_step = [text for inputs in shards for text in rows_of(inputs, with_label=False)]
        assert len(of_step) == 5
        taken += of_step
        for rank, inputs in enumerate(shards):
            before = plain[rank][step]
            assert sorted(rows_of(inputs, with_label=True)) == sorted(
                rows_of(before, with_label=True)
            )
            assert float(inputs.loss_weight) == float(before.loss_weight)
            assert (inputs.loss_weights[inputs.labels == NO_LABEL] == 0).all()
            assert float(inputs.loss_weights.sum()) == float(before.loss_weights.sum())
    assert set(taken) == set(texts_of(UNLABELED))
    assert max(Counter(taken).values()) <= 3, "45 of 23"


def test_epochs_have_texts_of_their_own():
    def first_texts(epoch):
        (shard,) = next(feed(*settings()).steps(epoch)).shards
        return sorted(rows_of(shard.inputs, with_label=False))

    assert first_texts(1) == first_texts(1) != first_texts(2)


def test_classes_have_weights_and_texts_without_one_have_none():
    weights = np.array([3.0, 0.5], dtype=np.float32)
    for batch in feed(*settings(), class_weights=weights).steps(1):
        (shard,) = batch.shards
        labels = shard.inputs.labels.numpy()
        expected = np.where(labels == NO_LABEL, 0.0, weights[np.maximum(labels, 0)])
        np.testing.assert_array_equal(shard.inputs.loss_weights, expected)


def test_they_have_no_ngrams():
    for batch in feed(*settings(), "model.ngrams={bits: 6, max_words: 2}").steps(1):
        (shard,) = batch.shards
        is_read = (shard.inputs.ngrams > 0).any(dim=1)
        assert (is_read == (shard.inputs.labels != NO_LABEL)).all()


def test_the_second_loss_is_the_mean_over_all_texts(monkeypatch):
    weights = np.array([3.0, 0.5], dtype=np.float32)
    (shard,) = next(feed(*settings(), class_weights=weights).steps(1)).shards
    inputs = shard.inputs
    numbers = torch.arange(1.0, len(inputs.labels) + 1)
    monkeypatch.setattr(adversary, "_divergence", lambda *_: numbers.requires_grad_())
    monkeypatch.setattr(Adversary, "_direction", lambda *_: (torch.zeros(()), torch.ones(1, 1, 1)))
    body = torch.nn.Module()
    body.forward = lambda embedded, lengths: embedded
    config = AdversarialConfig(weight=0.5, unlabeled=5)
    unit = torch.tensor(1.0)
    loss = Adversary(body, config, lambda *_: unit).loss(
        torch.zeros(1, 1, 1), inputs, slope=unit, scale=unit
    )
    without = inputs.labels == NO_LABEL
    total = (numbers * inputs.loss_weights).sum() + numbers[without].sum()
    assert loss.item() == pytest.approx(0.5 * total.item() / (float(inputs.loss_weight) + 5))


def test_they_are_not_learned_from_as_rows_with_a_label():
    """With next to no weight, what is left is the run without them."""
    found, expected = run(*settings(weight=1e-12)), trained()
    for name, tensor in expected.weights.items():
        torch.testing.assert_close(found.weights[name], tensor, rtol=0, atol=1e-5)
    changed = run(*settings()).weights["embedding.weight"]
    assert (changed - expected.weights["embedding.weight"]).abs().max() > 1e-3


def _weights(group):
    return run(*settings(), SHARDS, group=group).weights


def test_a_run_is_the_same_on_any_number_of_workers():
    expected = _weights(ALONE)
    for found in in_worker_group(3, _weights):
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_run_goes_on_bit_identical(tmp_path):
    overrides = (*settings(), "training.checkpoint_every_s=1e-9", "training.clip.policy=auto")
    events = Remembered(tmp_path)
    whole = run(*overrides, events=events)
    for number in (1, 11):
        resumed = run(*overrides, start=events.checkpoints[number])
        assert_same_run(resumed, whole)


@pytest.mark.parametrize(
    ("adversarial", "reason"),
    [
        ({"unlabeled": 4}, "needs data.unlabeled, but there is none"),
        ({"unlabeled": 4, "kind": "plain"}, "must be 0 with kind plain"),
        ({"unlabeled": -1}, "greater than or equal to 0"),
    ],
)
def test_what_does_not_fit_is_refused(adversarial, reason):
    values = {
        "name": "x",
        "data": {"source": {"kind": "generated"}},
        "training": {"adversarial": adversarial},
    }
    with pytest.raises(ConfigError, match=reason):
        experiment_from_mapping(values)


def test_a_search_may_not_vary_how_many_there_are():
    space = "search={num_trials: 2, space: {training.adversarial.unlabeled: [0, 5]}}"
    with pytest.raises(ConfigError, match="may not vary: trials on different texts"):
        tiny_experiment(*settings(), space)
