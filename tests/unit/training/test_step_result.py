import pytest
import torch

from rnnlane.training.step_result import LaunchedStep, local_counters


@pytest.mark.parametrize("wants_checkpoint", [False, True])
def test_a_result_holds_what_the_workers_summed(wants_checkpoint):
    counters = local_counters(
        torch.tensor(0.5),
        torch.tensor(3.0),
        wants_checkpoint=wants_checkpoint,
        num_tokens=40,
        num_positions=48,
    )
    values = torch.cat([counters + counters, torch.tensor([1.5, 0.0])])
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
