import io
from typing import Any

import pytest
from rich.console import Console

from rnnlane.cli.search_table import clock, search_line, search_table, settings, trial_line
from rnnlane.config.search import Variation
from rnnlane.records.search import SearchRecord, TrialRecord

PARAMS = {"model.hidden_size": 64, "training.learning_rate": 0.00123456}
ANY = Variation(choice=(1, 2))


def trial(number: int, state: str = "finished", **changes: Any) -> TrialRecord:
    values: dict[str, Any] = {
        "params": PARAMS,
        "history": ({"epoch": 1.0}, {"epoch": 2.0}),
        "value": 0.5 + number / 100,
        "best_epoch": 2,
        "ended_at": None if state == "running" else 10.0 + number,
        "key": f"s-{number:03d}",
    }
    return TrialRecord(number=number, state=state, **{**values, **changes})


def search(*trials: TrialRecord, **changes: Any) -> SearchRecord:
    values: dict[str, Any] = {
        "space": dict.fromkeys(PARAMS, ANY),
        "algorithm": "random",
        "scheduler": "asha",
        "max_epochs": 3,
        "num_planned": 4,
        "elapsed_s": 60.0,
    }
    found = SearchRecord("x", "val/accuracy", True, trials=trials, **{**values, **changes})
    return found.with_best()


def shown(found: SearchRecord, width: int = 160) -> list[list[str]]:
    """The cells of each line that a terminal would show."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(search_table(found, width=width))
    return [line.split() for line in console.export_text().splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (59.9, "0:59"),
        (60, "1:00"),
        (754, "12:34"),
        (3600, "1:00:00"),
        (5025, "1:23:45"),
    ],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_a_line_says_what_a_trial_was_given_and_what_came_of_it():
    ended = trial(1, "pruned")
    assert trial_line(search(ended), ended) == (
        "trial 1 pruned after 2 epochs  val/accuracy 0.5100 at epoch 2  "
        "model.hidden_size=64 training.learning_rate=0.00123  "
        "[1/4 trials, best 0.5100 (trial 1), about 3:00 left]"
    )


def test_a_line_of_a_failed_trial_says_why_with_a_value_and_without():
    early = trial(0, "failed", value=None, best_epoch=None, history=(), reason="out of memory")
    line = trial_line(search(early), early)
    assert line.startswith("trial 0 failed after 0 epochs  out of memory  model.hidden_size=64")
    late = trial(
        0, "failed", history=({"epoch": 1.0},), best_epoch=1, reason="its process was lost"
    )
    line = trial_line(search(late), late)
    assert "after 1 epoch  val/accuracy 0.5000 at epoch 1  its process was lost" in line


def test_a_search_says_how_far_it_is():
    assert search_line(search(trial(0, "running"))) == "0/4 trials, best 0.5000 (trial 0)"
    assert search_line(search()) == "0/4 trials"
    assert search_line(search(trial(0, "failed", value=None))) == "1/4 trials, about 3:00 left"
    budget = search(trial(0), time_budget_s=70.0)
    assert search_line(budget) == "1/4 trials, best 0.5000 (trial 0), about 0:10 left"


def test_repeats_of_finalists_say_which_trial_they_are_of():
    repeats = "1/4 repeats of the best trials (trial 0 with seed 3)"
    found = search(trial(0, seed_values=(0.5, 0.6)), afterwards=repeats)
    assert search_line(found) == f"{repeats}, best 0.5500 (trial 0)"


def test_the_table_shows_running_trials_first_and_then_the_best():
    running = trial(3, "running", value=None, best_epoch=None, history=())
    lines = shown(search(trial(0), trial(1, "pruned"), trial(2, "failed", value=None), running))
    assert lines[0][:3] == ["x:", "3/4", "trials,"]
    assert lines[1] == ["trial", "state", "val/accuracy", "epochs", "hidden_size", "learning_rate"]
    assert lines[3:] == [
        ["3", "running", "-", "0", "64", "0.00123"],
        ["1", "pruned", "0.5100", "2", "64", "0.00123"],
        ["0", "finished", "0.5000", "2", "64", "0.00123"],
    ]


def test_the_table_stays_short_and_a_trial_stands_in_it_once():
    trials = [trial(number, "running" if number % 2 else "finished") for number in range(40)]
    lines = shown(search(*trials))
    numbers = [line[0] for line in lines[3:]]
    assert numbers[:8] == ["1", "3", "5", "7", "9", "11", "13", "15"]
    assert numbers[8:] == ["38", "36", "34", "32", "30", "28", "26", "24"]


def test_a_finalist_is_shown_by_the_mean_over_its_seeds():
    finalist = trial(0, seed_values=(0.5, 0.6))
    assert shown(search(finalist, trial(1)))[3][:3] == ["0", "finished", "0.5500"]


def test_keys_are_short_unless_that_is_ambiguous_and_absent_ones_are_a_dash():
    space = dict.fromkeys(("model.size", "text.size", "model.cell"), ANY)
    lines = shown(search(trial(0, params={"model.size": 3}), space=space))
    assert lines[1][4:] == ["model.size", "text.size", "cell"]
    assert lines[3][4:] == ["3", "-", "-"]


def test_values_that_look_like_markup_are_shown_as_they_are():
    space = {"text.stop_words": ANY}
    lines = shown(search(trial(0, params={"text.stop_words": "[bold]x.txt"}), space=space))
    assert lines[3][-1] == "[bold]x.txt"


def test_settings_in_one_line():
    assert settings({"a.b": None, "c": True, "d": 0.1 + 0.2, "e": 3}) == "a.b=None c=True d=0.3 e=3"
