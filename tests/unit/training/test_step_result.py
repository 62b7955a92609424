import pytest
import torch

from rnnlane.training.step_result import LaunchedStep


@pytest.mark.parametrize("wants_checkpoint", [False, True])
def test_a_result_holds_what_the_workers_summed(wants_checkpoint):
    values = torch.tensor([1.0, 6.0, 2.0 * wants_checkpoint, 80, 96, 1.5, 0.0])
    step = LaunchedStep(values, [1.0, 3.0, 3.5, 7.5], num_rows=8, data_s=0.25)
    result = step.result()
    assert (result.loss, result.correct, result.norm, result.num_rows) == (1.0, 6.0, 1.5, 8)
    assert (result.num_tokens, result.num_positions) == (80, 96)
    assert (result.save, result.skipped) == (wants_checkpoint, False)
    assert result.seconds == {
        "data": 0.25,
        "forward_backward": 2.0,
        "communication": 0.5,
        "optimizer": 4.0,
    }


def test_a_skipped_step_says_so():
    values = torch.tensor([float("nan"), 0.0, 0.0, 1.0, 1.0, float("inf"), 1.0])
    assert LaunchedStep(values, [0.0, 0.0, 0.0, 0.0], num_rows=1, data_s=0.0).result().skipped


def test_a_result_outlives_the_next_step_in_the_same_memory():
    values = torch.ones(7)
    step = LaunchedStep(values, [0.0, 0.0, 0.0, 0.0], num_rows=1, data_s=0.0)
    values.fill_(2.0)
    assert step.result().loss == 1.0
