import pytest
import torch

from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.execution.in_process import train_in_process
from rnnlane.pretraining.loop import run_pretraining
from support.events import Remembered
from support.language import language_data, language_experiment, pretrained
from support.runs import timeless


def test_it_learns_what_follows_a_token():
    outcome = pretrained("pretraining.epochs=4", "pretraining.learning_rate=0.03")
    first, last = outcome.history[0], outcome.history[-1]
    # One of two tokens, or the end of a text, follows; of 31 that there are.
    assert last["val/perplexity"] < 13 < first["val/perplexity"]
    assert last["val/perplexity_backward"] < first["val/perplexity_backward"]
    assert {"train/loss", "train/perplexity", "throughput/tokens_per_s"} <= set(last)
    assert "train/accuracy" not in last
    assert not any(name.startswith("carried") for name in outcome.weights)


def test_the_sampled_softmax_learns_it_too():
    settings = ("pretraining.epochs=4", "pretraining.learning_rate=0.03")
    outcome = pretrained(*settings, "pretraining.softmax=sampled", "pretraining.num_sampled=12")
    first, last = outcome.history[0], outcome.history[-1]
    assert last["val/perplexity"] < 20 < first["val/perplexity"]
    # The estimate of the loss that a step has is one of the whole vocabulary's.
    assert last["train/perplexity"] == pytest.approx(last["val/perplexity"], rel=0.2)


class Killed(Remembered):
    """Ends the run after some checkpoints, as a killed driver."""

    def __init__(self, store, after):
        super().__init__()
        self._left = after

    def saved(self, history):
        super().saved(history)
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [3, 9])
def test_a_run_that_was_cut_within_an_epoch_equals_a_whole_one_bit_for_bit(tmp_path, after):
    config = language_experiment("pretraining.checkpoint_every_s=1e-9", "model.num_layers=2")
    whole = pretrained("pretraining.checkpoint_every_s=1e-9", "model.num_layers=2")
    store = CheckpointStore(str(tmp_path))

    def run(events, folder=None):
        data = language_data(folder)
        return train_in_process(config, data, store=store, events=events, loop=run_pretraining)

    with pytest.raises(KeyboardInterrupt):
        run(Killed(store, after))
    resumed = run(Remembered(), tmp_path / "texts")  # from files, as it may be after a change
    assert timeless(resumed.history) == timeless(whole.history)
    for name, value in whole.weights.items():
        assert torch.equal(resumed.weights[name], value), name
