"""The n-gram channel starts as Naive Bayes of the rows that it is trained on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnlane.data.batches import encoded
from rnnlane.models.ngrams import NgramChannel, fitted_scale, log_count_ratios, unseen_logits
from rnnlane.training import ngram_start
from rnnlane.training.loop import TRAIN_AND_VAL, TrainingData, run_training
from rnnlane.training.ngram_start import start_as_naive_bayes_
from support.events import Remembered
from support.runs import ALONE
from support.shards import streamed
from support.tiny import tiny_data, tiny_experiment
from support.workers import in_worker_group

BITS = "model.ngrams={bits: 6, max_words: 2, smoothing: 2.0, speed: 4.0}"
TRAIN = tiny_data(3).splits["train"]


def hasher():
    return tiny_data(3).hasher(tiny_experiment(BITS).model)


def started(split=TRAIN, group=ALONE) -> torch.Tensor:
    channel = NgramChannel(tiny_experiment(BITS).model.ngrams, num_classes=3)
    start_as_naive_bayes_(channel, split, hasher(), group=group)
    assert channel.weight.unique().tolist() == [0.25]
    return channel.ratio * channel.weight


def test_the_ratios_are_those_of_the_counts_times_one_scale():
    buckets, offsets = hasher()(TRAIN)
    counts = np.zeros((3, 64))
    for row, label in enumerate(TRAIN.labels):
        counts[label, buckets[offsets[row] : offsets[row + 1]]] += 1
    ratios = log_count_ratios(counts, 2.0)
    scale = fitted_scale(
        unseen_logits(counts, ratios, (buckets, offsets), TRAIN.labels, smoothing=2.0), TRAIN.labels
    )
    np.testing.assert_allclose(started().detach().numpy(), scale * ratios.T, rtol=1e-6)
    assert scale > 0


def _of_worker(group, split, chunk_rows):
    encoded.CHUNK_ROWS = chunk_rows
    return started(split, group).detach()


@pytest.mark.parametrize("every", [1, 4])
def test_they_do_not_depend_on_who_counts_how_many_rows_at_once(monkeypatch, every):
    monkeypatch.setattr(ngram_start, "ROWS_OF_SCALE", len(TRAIN) // every)
    whole = started()
    monkeypatch.setattr(encoded, "CHUNK_ROWS", 7)
    assert torch.equal(started(), whole)
    assert torch.equal(started(streamed(TRAIN, 3)), whole)
    if every == 1:
        for of_worker in in_worker_group(3, _of_worker, TRAIN, 7):
            assert torch.equal(of_worker, whole)


def test_texts_without_keys_of_their_unknown_tokens_are_refused():
    with pytest.raises(ValueError, match="each unknown token"):
        started(replace(TRAIN, unknown_keys=None))


def test_a_model_that_is_trained_again_on_train_and_val_starts_on_both(monkeypatch):
    data = tiny_data()
    both = data.splits["train"].take(np.arange(60))
    data = TrainingData(
        {**data.splits, TRAIN_AND_VAL: both}, 2, data.vocabulary_size, word_keys=data.word_keys
    )
    seen = []

    def start(channel, split, hasher, *, group):
        seen.append(len(split))
        start_as_naive_bayes_(channel, split, hasher, group=group)

    monkeypatch.setattr("rnnlane.training.loop.start_as_naive_bayes_", start)
    config = tiny_experiment(BITS, "training.epochs=1", "training.refit=true")
    run_training(config, data, group=ALONE, events=Remembered())
    assert seen == [101, 60]
