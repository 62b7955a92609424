"""What must not depend on the number of workers, in real process groups without Ray."""

import itertools
from functools import partial
from unittest import mock

import numpy as np
import pytest

from rnnlane.training import loop
from rnnlane.training.checkpoint import Checkpointer
from support.events import Remembered
from support.one_step import SGD, plain_gradient_step, weights_after_one_step
from support.runs import ALONE, scored, timeless, trained
from support.workers import in_worker_group

RUN = ("training.epochs=3", "training.clip.max_norm=0.5")
WEIGHTED = (*SGD, "training.class_weights={odd: 7.5}")
STEPS = (0, 8)  # a full batch, and the last, smaller one
SPLIT_ROWS = (1, 83, 3000)


def everything(group):
    outcome = trained(*RUN, group=group)
    return {
        "steps": {step: weights_after_one_step(group, SGD, step) for step in STEPS},
        "weighted": {step: weights_after_one_step(group, WEIGHTED, step) for step in STEPS},
        "losses": outcome.losses,
        "history": timeless(outcome.history),
        "scores": {count: scored(group, count, 3, kept=np.arange(count)) for count in SPLIT_ROWS},
    }


@pytest.fixture(scope="module", params=[2, 3])
def by_rank(request):
    return in_worker_group(request.param, everything)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("key", "settings"), [("steps", SGD), ("weighted", WEIGHTED)])
def test_the_gradient_is_that_of_the_global_batch(by_rank, key, settings, step):
    expected, loss, norm = plain_gradient_step(settings, step)
    for found in by_rank:
        weights, its_loss, its_norm, _ = found[key][step]
        assert its_loss == pytest.approx(loss, abs=1e-6)
        assert its_norm == pytest.approx(norm, rel=1e-5)
        for name, tensor in expected.items():
            np.testing.assert_allclose(weights[name], tensor, atol=1e-6, err_msg=name)


def test_step_losses_and_metrics_agree(by_rank):
    alone = trained(*RUN, group=ALONE)
    assert len(alone.losses) == 27
    for found in by_rank:
        np.testing.assert_allclose(found["losses"][:20], alone.losses[:20], atol=1e-4)
        for record, expected in zip(found["history"], timeless(alone.history), strict=True):
            assert record["val/accuracy"] == expected["val/accuracy"]
            assert record["train/accuracy"] == expected["train/accuracy"]
            assert record["val/loss"] == pytest.approx(expected["val/loss"], abs=1e-4)


def test_every_rank_tells_the_same(by_rank):
    for found in by_rank[1:]:
        assert found["history"] == by_rank[0]["history"]
        np.testing.assert_array_equal(found["losses"], by_rank[0]["losses"])


@pytest.mark.parametrize("num_rows", SPLIT_ROWS)
def test_scores_agree(by_rank, num_rows):
    alone = scored(ALONE, num_rows, 3, kept=np.arange(num_rows))
    for found in by_rank:
        scores = found["scores"][num_rows]
        np.testing.assert_array_equal(scores.predicted, alone.predicted)
        np.testing.assert_allclose(scores.losses, alone.losses, atol=1e-6)
        np.testing.assert_allclose(scores.probabilities, alone.probabilities, atol=1e-6)


SHARDED = (
    "training.reduction_shards=4",
    "training.epochs=2",
    "training.clip.policy=auto",
    "training.checkpoint_every_s=1e-9",
    "model.num_layers=2",
    "model.bidirectional=true",
    "model.dropout=0.2",
    "model.token_dropout=0.1",
)


def sharded(group, folder=None, start=None):
    events = Remembered(folder)
    outcome = trained(*SHARDED, group=group, events=events, start=start)
    return timeless(outcome.history), outcome.weights, outcome.losses, events.checkpoints


@pytest.fixture(scope="module")
def sharded_alone():
    return sharded(ALONE)


def assert_same_bits(found, expected):
    for history, weights, losses, _ in found:
        assert history == expected[0]
        np.testing.assert_array_equal(losses, expected[2])
        for name, tensor in expected[1].items():
            np.testing.assert_array_equal(weights[name], tensor, err_msg=name)


@pytest.mark.parametrize("world_size", [3, 4])
def test_with_shards_any_number_of_workers_ends_with_the_same_bits(world_size, sharded_alone):
    assert_same_bits(in_worker_group(world_size, sharded), sharded_alone)


def test_with_shards_another_number_of_workers_continues_to_the_same_bits(tmp_path, sharded_alone):
    *_, checkpoints = sharded(ALONE, tmp_path)
    assert_same_bits(in_worker_group(2, sharded, None, checkpoints[3]), sharded_alone)


def saved_epochs(group):
    """How many epochs each checkpoint has; the clock of every worker but the first stands still."""
    clock = itertools.count().__next__ if group.is_first else lambda: 0.0
    events = Remembered()
    with mock.patch.object(loop, "Checkpointer", partial(Checkpointer, clock=clock)):
        trained("training.epochs=6", "training.checkpoint_every_s=26", group=group, events=events)
    return [len(history) for history in events.saved_histories]


def test_all_workers_save_when_the_first_one_s_clock_says_so():
    # A second a step, of which an epoch has 9: due after 20 s at an epoch's end, else after 27.
    assert in_worker_group(2, saved_epochs) == [[1, 4, 6]] * 2
