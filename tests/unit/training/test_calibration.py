import pytest
import torch

from rnnlane.records.events import RunEvents
from support.runs import trained

DEEP = ("model.num_layers=2", "model.bidirectional=true", "model.dropout=0.3")


def test_auto_clipping_takes_the_mean_norm_of_an_unclipped_calibration():
    outcome = trained("training.clip.policy=auto", "training.clip.calibration_steps=5")
    unclipped = trained("training.clip.policy=none")
    assert outcome.clip["calibration"]["count"] == 5
    assert 0 < outcome.clip["max_norm"] < 10
    assert f"{outcome.clip['max_norm']:.4g}" in outcome.clip["reason"]
    assert unclipped.clip["max_norm"] is None
    assert unclipped.history[0]["grad_norm/clipped_fraction"] == 0
    assert outcome.history[0]["grad_norm/mean"] > 0


def test_auto_clipping_may_take_a_multiple_of_that_mean():
    once, thrice = (
        trained("training.clip.policy=auto", "training.epochs=1", f"training.clip.of_mean={n}").clip
        for n in (1, 3)
    )
    assert thrice["calibration"] == once["calibration"]
    assert thrice["max_norm"] == pytest.approx(3 * once["max_norm"])


def test_the_calibration_leaves_no_trace_in_the_run():
    auto = trained("training.clip.policy=auto", *DEEP)
    fixed = trained(f"training.clip.max_norm={auto.clip['max_norm']!r}", *DEEP)
    for name, tensor in auto.weights.items():
        assert torch.equal(tensor, fixed.weights[name])


def test_the_calibration_shows_how_far_it_is():
    shown = []

    class Events(RunEvents):
        def progress(self, progress):
            shown.append(progress)

    trained("training.clip.policy=auto", "training.clip.calibration_steps=5", events=Events())
    first = shown[0]
    assert (first.stage, first.detail) == ("calibrating the clip value", "0 steps")
    assert first.total == 5
