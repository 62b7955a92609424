import json

import pytest

from rnnlane.errors import DataError
from rnnlane.records.results import BaselineResult, Evaluation, SearchResult
from support.results import train_result, write_history

CLASSES = [
    {"class": f"c{number}", "precision": 0.5, "recall": None, "f1": number / 20, "rows": 3}
    for number in range(20)
]


def search_result(folder, best):
    return SearchResult(
        "0123456789abcdef", "u", best, 3, 1, 0, 0, 9, 12.0, {}, "best.yaml", f"{folder}/r.html", "f"
    )


def test_a_result_survives_json():
    result = BaselineResult(
        run_id="r",
        tracking_uri="sqlite:///x",
        data_fingerprint="d",
        model_uri="runs:/r/model",
        metrics={"test/accuracy": 0.5},
        num_ngrams=3,
        fit_s=0.1,
        sample={"label": "positive"},
        run_folder="/x",
    )
    assert BaselineResult(**json.loads(json.dumps(result.as_dict()))) == result


def test_a_result_is_plain_values():
    scores = Evaluation("r", "test", 2, {"loss": 0.1}, ("a", "b"), [[1, 0], [0, 1]])
    assert scores.as_dict()["confusion"] == [[1, 0], [0, 1]]


def test_a_history_is_a_table_of_epochs_and_a_picture(tmp_path):
    history = write_history(tmp_path)
    result = train_result(tmp_path)
    assert result.history.index.tolist() == [1, 2, 3]
    assert result.history["val/accuracy"].tolist() == [one["val/accuracy"] for one in history]
    figure = result.plot()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Accuracy, macro F1", "Loss"]
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_history_that_was_removed_says_where_it_still_is(tmp_path):
    with pytest.raises(DataError, match="the run in the tracking store has the file"):
        _ = train_result(tmp_path).history


def test_a_result_is_one_line_and_a_table_without_markup_from_outside():
    notes = ["<i>careful</i>"]
    result = train_result(classes=[{**CLASSES[3], "class": "<b>\x1b"}], notes=notes)
    assert repr(result) == (
        "TrainResult(run 01234567, best epoch 2 of 3 (by val/accuracy), "
        "accuracy val 0.7500, test 0.8000, macro F1 val 0.7000, test 0.6000)"
    )
    page = result._repr_html_()
    for text in ("25.0% of steps at 1.5", "&lt;b&gt;\\x1b", "&lt;i&gt;careful"):
        assert text in page


def test_a_page_in_mlflow_is_linked_and_nothing_else():
    address = 'http://host/#/runs/1?"x'
    page = train_result(run_url=address)._repr_html_()
    assert '<a href="http://host/#/runs/1?&quot;x" target="_blank" rel="noopener">' in page
    for no_page in (None, "javascript:alert(1)"):
        assert "href" not in train_result(run_url=no_page)._repr_html_()


def test_of_many_classes_the_worst_are_shown_and_the_pairs():
    pair = {"true": "c1", "predicted": "c9", "rows": 2, "share": 0.5}
    scores = Evaluation(
        "r", "val", 2, {"macro_f1": 0.1}, ("a",), [[1]], classes=CLASSES, confused=[pair]
    )
    page = scores._repr_html_()
    assert page.count("<tr>") == 4 + 1 + 12 + 1 + 1
    assert "c0" in page
    assert "c13" not in page
    assert repr(scores) == "Evaluation(run r, split val, rows 2, macro f1 0.1000)"


def test_a_confusion_matrix_is_a_picture():
    scores = Evaluation("r", "test", 2, {}, ("a", "b"), [[1, 0], [0, 1]])
    assert scores.plot().axes[0].get_title(loc="left").startswith("Confusion: 2 rows")


def test_a_search_shows_its_winner_and_its_trials(tmp_path):
    lines = ["number,state,score,x", "0,finished,0.5,1", "1,failed,,2", "2,pruned,0.75,3"]
    (tmp_path / "trials.csv").write_text("\n".join(lines))
    best = {"number": 2, "value": 0.75, "params": {"training.learning_rate": 0.00123456}}
    result = search_result(tmp_path, best)
    assert repr(result).startswith("SearchResult(run 01234567, trials 3, 1 pruned; 9 epochs")
    assert "training.learning_rate=0.001235" in result._repr_html_()
    assert result.trials["score"].dropna().tolist() == [0.5, 0.75]
    assert "winner: trial 2 with 0.75" in result.plot().axes[0].get_legend_handles_labels()[1]
    assert "every trial failed" in search_result(tmp_path, None)._repr_html_()
    assert search_result(tmp_path, None).plot().axes
