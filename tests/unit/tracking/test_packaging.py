from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rnnlane.tracking import packaging
from rnnlane.tracking.packaging import BUNDLE, COLUMN, Served, save_model

PREDICTOR = """
from types import SimpleNamespace

class Predictor:
    class_names = ("neg", "pos")

    @classmethod
    def load(cls, folder):
        predictor = cls()
        predictor.word = (folder / "word.txt").read_text()
        return predictor

    def predict(self, texts):
        probabilities = [[0.25, 0.75] if self.word in text else [0.75, 0.25] for text in texts]
        num_known = [int(self.word in text) for text in texts]
        return SimpleNamespace(probabilities=probabilities, num_known_tokens=num_known)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    tmp_path = tmp_path_factory.mktemp("packaging")
    # MLflow refuses a folder with such a name.
    bundle = tmp_path / "bundle #1 100%"
    bundle.mkdir()
    (bundle / "word.txt").write_text("good")
    (tmp_path / "packaged_predictor.py").write_text(PREDICTOR)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        served = Served("packaged_predictor:Predictor", ("neg", "pos"), "a good film")
        save_model(bundle, tmp_path / "model", served)
        yield tmp_path / "model"


def test_a_model_holds_a_copy_of_the_bundle_and_no_pickle(model: Path) -> None:
    assert (model / "artifacts" / BUNDLE / "word.txt").read_text() == "good"
    suffixes = {path.suffix for path in model.rglob("*") if path.is_file()}
    assert suffixes.isdisjoint({".pkl", ".pickle"})


def test_a_model_names_the_wheel_that_it_brings_and_what_answers_depend_on(model: Path) -> None:
    own, *others = (model / "requirements.txt").read_text().split()
    assert re.fullmatch(r"wheels/rnnlane-.+\+sha[0-9a-f]{12}-py3-none-any\.whl", own)
    assert (model / own).is_file()
    assert [line.partition("==")[0] for line in others] == ["torch", "mlflow", "nltk", "regex"]
    assert not any("+" in line for line in others)
    assert own in (model / "conda.yaml").read_text()


def test_without_a_wheel_a_model_needs_an_installation_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(_folder: Path) -> Path:
        raise packaging.importlib.metadata.PackageNotFoundError("rnnlane")

    monkeypatch.setattr(packaging, "build_wheel", missing)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "word.txt").write_text("good")
    save_model(tmp_path / "bundle", tmp_path / "model", Served("m:C", ("a", "b")))
    assert "rnnlane" not in (tmp_path / "model" / "requirements.txt").read_text()
    assert "only where rnnlane is installed" in caplog.text


def test_a_local_version_is_pinned_as_the_index_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaging.importlib.metadata, "version", lambda name: "2.13.0+cpu")
    assert packaging._pinned("torch") == "torch==2.13.0"


@pytest.fixture(scope="module")
def loaded(model: Path) -> Any:
    """The model as a person loads it."""
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(model))


def test_a_loaded_model_answers_as_its_signature_says(loaded: Any) -> None:
    table = loaded.predict({"text": ["good", "bad"]})
    assert table.to_dict("list") == {
        "label": ["pos", "neg"],
        "probability_neg": [0.25, 0.75],
        "probability_pos": [0.75, 0.25],
        "num_known_tokens": [1, 0],
    }
    signature = loaded.metadata.signature
    assert signature.outputs.input_names() == list(table.columns)
    assert signature.inputs.input_names() == [COLUMN]


def test_the_example_is_what_the_model_and_its_server_take(loaded: Any, model: Path) -> None:
    assert loaded.input_example == [{"text": "a good film"}]
    assert loaded.predict(loaded.input_example)["label"].to_list() == ["pos"]
    body = json.loads((model / "serving_input_example.json").read_text())
    assert body == {"inputs": [{"text": "a good film"}]}


TEXTS = ["good", "bad", "good", "bad", "bad", "good", "bad", "good", "good", "bad"]
TABLE = pd.DataFrame({"number": range(10), "text": TEXTS})


@pytest.mark.parametrize(
    "table",
    [
        TABLE.sample(frac=1, random_state=3),
        TABLE[TABLE["number"] > 4],
        TABLE.set_index(["text", "number"], drop=False),
        TABLE.set_index(pd.Index(list("abcdefghij"))).iloc[::-1],
        TABLE.astype({"text": "category"}).sample(frac=1, random_state=3),
        TABLE.astype({"text": "string"}).sample(frac=1, random_state=3),
    ],
    ids=["shuffled", "filtered", "multi_index", "reversed", "category", "string"],
)
def test_each_row_gets_the_answer_of_its_own_text(loaded: Any, table: pd.DataFrame) -> None:
    expected = ["pos" if text == "good" else "neg" for text in table["text"]]
    for given in (table, table[["text"]], table["text"], table["text"].rename(None), dict(table)):
        answer = loaded.predict(given)
        assert answer.index.equals(table.index)
        assert table.assign(predicted=answer["label"])["predicted"].to_list() == expected


@pytest.mark.parametrize(
    "texts",
    [
        ["good", "bad"],
        ("good", "bad"),
        np.array(["good", "bad"]),
        np.array(["good", "bad"], dtype=object),
        np.array([["good"], ["bad"]]),
        pd.DataFrame(["good", "bad"]),
        pd.Index(["good", "bad"]),
        {"text": np.array(["good", "bad"])},
        [{"text": "good"}, {"text": "bad", "number": 2}],
    ],
)
def test_texts_that_name_no_index_are_numbered(loaded: Any, texts: Any) -> None:
    answer = loaded.predict(texts)
    assert answer["label"].to_list() == ["pos", "neg"]
    assert answer.index.to_list() == [0, 1]


def test_one_text_and_none_at_all_are_answered(loaded: Any) -> None:
    assert loaded.predict("good")["label"].to_list() == ["pos"]
    assert loaded.predict({"text": "good"})["label"].to_list() == ["pos"]
    for nothing in ([], TABLE[:0], TABLE["text"][:0], np.array([])):
        assert loaded.predict(nothing).shape == (0, 4)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.rename(columns={"text": "review"}), "no column of that name among"),
        (TABLE[["number"]], "one column 'text'"),
        (pd.concat([TABLE, TABLE], axis=1), "2 columns of that name"),
        (TABLE.assign(text=["good", None] * 5)[3:], "4 of 7 are missing .* at index 3"),
        (pd.Series(["good", np.nan]), "1 of 2 are missing"),
        (pd.Series(["good", pd.NA], dtype="string"), "1 of 2 are missing"),
        (["good", None], "1 of 2 are missing"),
        (["good", 7], "got 7 at index 1"),
        ([b"good"], "got b'good' at index 0"),
        ([["good"], ["bad"]], r"got \['good'\] at index 0"),
        (np.array([["good", "bad"]] * 2), "one column, but its shape is"),
        ({"label": ["good"]}, "no column of that name"),
        (None, "1 of 1 are missing"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(loaded: Any, table: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loaded.predict(table)


def test_a_model_without_its_package_says_how_to_get_it(tmp_path: Path) -> None:
    import mlflow.pyfunc

    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "word.txt").write_text("good")
    save_model(tmp_path / "bundle", tmp_path / "model", Served("not_there:C", ("a", "b")))
    with pytest.raises(ModuleNotFoundError, match=r"'not_there'; run `pip install -r") as missing:
        mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert missing.value.name == "not_there"
