import numpy as np
import pandas as pd
import pytest

from rnnlane.errors import ConfigError
from rnnlane.inference.bundle import set_temperature
from rnnlane.inference.model import Model
from rnnlane.inference.predictor import Predictor
from support.bundle import write_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = write_bundle(tmp_path_factory.mktemp("bundle") / "b", ("bad", "so so", "<b>good</b>"))
    # What an explanation says of a probability must be what predict says.
    set_temperature(folder, 0.05)
    return Model(Predictor.load(folder), run_id="0123456789abcdef")


def test_a_table_of_answers_keeps_the_index_of_a_series(model):
    table = model.predict(pd.Series(["A fine film.", "?"], index=["x", "y"]))
    assert list(table.columns) == [
        "text",
        "label",
        "probability_bad",
        "probability_so so",
        "probability_<b>good</b>",
        "num_known_tokens",
        "num_tokens",
        "is_sure",
    ]
    assert table.index.tolist() == ["x", "y"]
    assert table["num_known_tokens"].tolist() == [3, 0]
    probabilities = table.filter(like="probability_").to_numpy()
    assert probabilities.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert model.predict([]).empty
    assert model.predict(("a film",)).index.tolist() == [0]


@pytest.mark.parametrize(
    "texts",
    [
        "a film",
        ["a film", None],
        pd.Series(["a film", np.nan]),
        pd.DataFrame({"text": ["a film"]}),
        {"text": ["a film"]},
        b"a film",
        None,
        5,
    ],
)
def test_what_is_no_sequence_of_texts_is_refused(model, texts):
    with pytest.raises(ConfigError, match="texts must be a sequence of str"):
        model.predict(texts)


def test_an_explanation_has_the_tokens_that_are_read(model):
    text = "A fine film &lt;i&gt; of <script>" + " a dull" * 20
    explanation = model.explain(text)
    answer = model.predict([text]).loc[0]
    assert explanation.label == answer["label"]
    assert explanation.probability == pytest.approx(answer[f"probability_{explanation.label}"])
    assert explanation.tokens[:4] == ("a", "fine", "film", "of")
    assert explanation.known[:4] == (True, True, True, False)
    assert len(explanation.shares) == 20
    assert explanation.num_unread > 0
    assert abs(explanation.gap) < 0.02
    assert explanation.table["token"].tolist() == list(explanation.tokens)


def test_another_class_can_be_explained(model):
    explanation = model.explain("a fine film", label="so so")
    assert explanation.label == "so so"
    with pytest.raises(ConfigError, match="one of the model's classes, but got 'fine'"):
        model.explain("a film", label="fine")


def test_the_answers_to_a_few_texts_are_a_picture(model):
    figure = model.plot(["a fine film", "dull\x1b"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a fine film", "dull\\x1b"]
    for texts in ([], ["a"] * 9):
        with pytest.raises(ConfigError, match=f"1 to 8 texts, but got {len(texts)}"):
            model.plot(texts)


def test_a_text_without_tokens_has_no_shares(model):
    explanation = model.explain(" ")
    assert explanation.tokens == explanation.shares == ()
    assert explanation.gap == 0.0
    assert explanation.plot().axes


def test_they_show_themselves_and_nothing_from_outside_is_markup(model):
    assert repr(model) == "Model(run 01234567, classes bad, so so, <b>good</b>)"
    assert "&lt;b&gt;good&lt;/b&gt;" in model._repr_html_()
    explanation = model.explain("a fine x<b", label="<b>good</b>")
    shown = explanation._repr_html_()
    assert "<b>" not in shown
    assert "&lt;" in shown
    assert repr(explanation).startswith("Explanation(<b>good</b> ")
    assert explanation.plot()._repr_png_().startswith(b"\x89PNG")
