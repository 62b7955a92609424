import pytest

from rnnlane.records.progress import EpochProgress, Progress, clock


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (754, "12:34"), (5025, "1:23:45")]
)
def test_a_clock_shows_hours_only_from_an_hour_on(seconds, text):
    assert clock(seconds) == text


def test_a_stage_counts_rows_unless_it_says_otherwise():
    assert Progress("download", 2048, None, unit="bytes").detail == "2,048 bytes"
    assert Progress("read", 2048, 4096).detail == "2,048 rows"
    assert Progress("read", 2048, 4096, num_bytes=1_234_567_890).detail == "2,048 rows, 1,235 MB"


def test_an_epoch_shows_loss_accuracy_speed_and_the_time_left():
    progress = EpochProgress("epoch 1/2", 1, 9, 1, 2, 0.5, 0.75, 1234.5, 61)
    assert progress.detail == "loss 0.5000  accuracy 0.7500  1,234 rows/s  1:01 left"
