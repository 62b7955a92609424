import numpy as np
import pytest
import torch

from rnnlane.config.training import ClipConfig
from rnnlane.errors import TrainingError
from rnnlane.training.clipping import (
    choose_clip,
    clip_,
    gradient_norm,
    norm_order,
    norm_statistics,
)

NORMS = np.array([1.0, 2.0, 3.0, 10.0])


def test_the_mean_of_the_calibration_is_the_original_rule():
    choice = choose_clip(ClipConfig(policy="auto"), NORMS)
    assert choice.max_norm == 4.0
    assert "mean of 4" in choice.reason
    assert choice.calibration["max"] == 10.0


def test_a_percentile_may_be_asked_for():
    config = ClipConfig(policy="auto", statistic="percentile", percentile=50)
    assert choose_clip(config, NORMS).max_norm == 2.5


@pytest.mark.parametrize("of_mean", [0.25, 8.0])
def test_the_clip_value_may_be_a_multiple_of_what_was_measured(of_mean):
    choice = choose_clip(ClipConfig(policy="auto", of_mean=of_mean), NORMS)
    assert choice.max_norm == of_mean * 4.0
    assert choice.calibration["mean"] == 4.0
    assert f"{of_mean:g} x the mean of 4" in choice.reason
    median = ClipConfig(policy="auto", statistic="percentile", percentile=50, of_mean=of_mean)
    assert choose_clip(median, NORMS).max_norm == of_mean * 2.5


def test_norms_that_are_not_finite_do_not_count():
    choice = choose_clip(ClipConfig(policy="auto"), np.array([1.0, np.nan, 3.0, np.inf]))
    assert choice.max_norm == 2.0
    assert choice.calibration["count"] == 2


@pytest.mark.parametrize("norms", [[np.nan], [0.0, 0.0], []])
def test_a_calibration_without_a_norm_is_refused(norms):
    with pytest.raises(TrainingError, match="finite, positive"):
        choose_clip(ClipConfig(policy="auto"), np.array(norms))


def test_fixed_and_none_need_no_calibration():
    assert choose_clip(ClipConfig(max_norm=3.0), None).max_norm == 3.0
    assert choose_clip(ClipConfig(policy="none"), None).max_norm is None


@pytest.mark.parametrize("norm_type", [1, 2, "inf"])
def test_clipping_agrees_with_torch(norm_type):
    config = ClipConfig(norm_type=norm_type)
    ours, theirs = ([torch.zeros(3), torch.zeros(2, 2)] for _ in range(2))
    for mine, other in zip(ours, theirs, strict=True):
        mine.grad = torch.arange(mine.numel(), dtype=torch.float).view_as(mine) - 1.5
        other.grad = mine.grad.clone()
    norm = gradient_norm([tensor.grad for tensor in ours], norm_type=norm_order(config))
    clip_([tensor.grad for tensor in ours], norm, max_norm=torch.tensor(0.7))
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.7, norm_order(config))
    assert torch.equal(norm, expected)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine.grad, other.grad)


@pytest.mark.parametrize("norm", [0.0, 0.3, 1e30])
def test_an_infinite_value_clips_nothing(norm):
    gradient = torch.tensor([0.3, -1e-30, 7.0])
    clip_([gradient], torch.tensor(norm), max_norm=torch.tensor(torch.inf))
    assert torch.equal(gradient, torch.tensor([0.3, -1e-30, 7.0]))


def test_statistics_of_nothing_are_nothing():
    assert norm_statistics(np.array([np.nan])) == {}
    assert norm_statistics(NORMS)["p50"] == 2.5
