import json

import numpy as np
import pytest

from rnnlane.errors import ConfigError
from rnnlane.inference.comparison import compare_runs
from support.compared import kept_run, predictions_of

TARGET = "rnnlane.cli.compare.compare_runs"
LABELS = np.arange(300) % 2
METRICS = {"val/loss": 0.25, "throughput/rows_per_s": 2345.6, "time/data_s": 1.0}


def compared(num_runs=2, *, name="run", texts=1, text="A fine film.", num_wrong=30):
    random = np.random.default_rng(0)
    runs = []
    for number in range(num_runs):
        predicted = LABELS.copy()
        predicted[random.choice(300, num_wrong, replace=False)] ^= 1
        params = {"model.cell": f"cell {number} {'x' * 50}", "seed": "0"}
        predictions = predictions_of(LABELS, predicted)
        runs.append(kept_run(f"{name} {number}", predictions, metrics=METRICS, params=params))
    comparison = compare_runs(runs, split="test", num_texts=texts)
    for row in comparison.texts:
        row["text"] = text
    return comparison


def words(printed):
    return [line.split() for line in printed.splitlines()]


def test_the_runs_are_shown_side_by_side(call, replaced):
    comparison = compared()
    calls = replaced(TARGET, comparison)
    printed = call("compare", "a", "b", "--split", "val", "--texts", "7").stdout
    assert calls[0][0] == (["a", "b"],)
    assert calls[0][1] | {"split": "val", "num_texts": 7, "plot": None} == calls[0][1]
    lines = words(printed)
    assert ["A", "run", "0run", "run", "0", "2"] in lines
    test = comparison.tests[0]
    low, high = (f"{100 * test[key]:+.2f}" for key in ("low", "high"))
    won_lost = [str(test["num_won"]), "/", str(test["num_lost"])]
    start = ["B", "-", "A", f"{100 * test['difference']:+.2f}", low, "to", high]
    assert [*start, f"{test['p_value']:.3f}", *won_lost, "no", "difference", "shown"] in lines
    assert ["val/loss", "0.2500", "0.2500"] in lines
    assert ["throughput/rows_per_s", "2,346", "2,346"] in lines
    assert "time/data_s" not in printed
    assert ["model.cell", "cell", "0", "...", "cell", "1", "..."] in lines
    assert "  A fine film." in printed.splitlines()
    assert printed.splitlines()[-1].strip() == "seed of training moves accuracy too"


def test_of_a_long_text_the_beginning_and_the_end_are_shown(call, replaced):
    replaced(TARGET, compared(text="word " * 300 + "the end."))
    printed = " ".join(call("compare", "a", "b").stdout.split())
    assert "word word [...]" in printed
    assert "word the end. note:" in printed
    assert 70 < printed.count("word") < 85


def test_json_has_everything(call, replaced):
    comparison = compared()
    replaced(TARGET, comparison)
    printed = json.loads(call("compare", "a", "b", "--json").stdout)
    assert printed == json.loads(json.dumps(comparison.as_dict()))
    assert printed["metrics"]["time/data_s"] == [1.0, 1.0]


@pytest.mark.parametrize("num_runs", [2, 9])
def test_80_columns_suffice(call, replaced, num_runs):
    comparison = compared(num_runs, name="a name of many words, such as some like", texts=9)
    replaced(TARGET, comparison)
    for line in call("compare", "a", "b").stdout.splitlines():
        assert len(line) <= 80, line


def test_what_comes_from_outside_cannot_act_on_the_terminal(call, replaced):
    replaced(TARGET, compared(name="\x1b[31m[red]", text="one\x1b[2J two\u202e three\nfour"))
    printed = call("compare", "a", "b").stdout
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "\\x1b[31m[red]" in printed
    assert "one\\x1b[2J two\\u202e three four" in printed


def test_equal_runs_have_no_texts_and_no_settings(call, replaced):
    same = predictions_of(LABELS, LABELS)
    runs = [kept_run("a", same), kept_run("b", same)]
    replaced(TARGET, compare_runs(runs, split="test", num_texts=5))
    printed = call("compare", "a", "b").stdout
    assert "settings that differ: none" in printed
    assert "disagree" not in printed
    lines = [line[:8] for line in words(printed)]
    assert ["B", "-", "A", "+0.00", "+0.00", "to", "+0.00", "1.000"] in lines


@pytest.mark.parametrize("name", ["x.jpg", "x", "missing/x.png"])
def test_a_picture_that_cannot_be_written_is_refused_first(call, replaced, tmp_path, name):
    calls = replaced(TARGET, None)
    with pytest.raises(ConfigError, match="a picture is written to a file, and it"):
        call("compare", "a", "b", "--plot", tmp_path / name)
    assert not calls


def test_a_picture_that_fails_is_one_line(call, monkeypatch, tmp_path):
    def full(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(TARGET, full)
    with pytest.raises(ConfigError, match="cannot write the picture: Permission denied"):
        call("compare", "a", "b", "--plot", tmp_path / "x.png")
