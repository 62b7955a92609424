from __future__ import annotations

from pathlib import Path

import pytest

from rnnlane.tracking import packaging
from rnnlane.tracking.packaging import BUNDLE, save_model

PREDICTOR = """
import numpy as np

class Predictor:
    class_names = ("neg", "pos")

    @classmethod
    def load(cls, folder):
        predictor = cls()
        predictor.word = (folder / "word.txt").read_text()
        return predictor

    def probabilities(self, texts):
        return np.array([[0.25, 0.75] if self.word in text else [0.75, 0.25] for text in texts])
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # MLflow refuses a folder with such a name.
    bundle = tmp_path / "bundle #1 100%"
    bundle.mkdir()
    (bundle / "word.txt").write_text("good")
    (tmp_path / "packaged_predictor.py").write_text(PREDICTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    save_model(
        bundle,
        tmp_path / "model",
        predictor="packaged_predictor:Predictor",
        class_names=("neg", "pos"),
    )
    return tmp_path / "model"


def test_a_model_holds_a_copy_of_the_bundle_and_no_pickle(model: Path) -> None:
    assert (model / "artifacts" / BUNDLE / "word.txt").read_text() == "good"
    suffixes = {path.suffix for path in model.rglob("*") if path.is_file()}
    assert suffixes.isdisjoint({".pkl", ".pickle"})


def test_a_model_needs_torch_and_mlflow_alone(model: Path) -> None:
    lines = (model / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in lines] == ["torch", "mlflow"]
    assert not any("+" in line for line in lines)


def test_a_local_version_is_pinned_as_the_index_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaging.importlib.metadata, "version", lambda name: "2.13.0+cpu")
    assert packaging._pinned("torch") == "torch==2.13.0"


def test_a_loaded_model_answers_as_its_signature_says(model: Path) -> None:
    import mlflow.pyfunc

    loaded = mlflow.pyfunc.load_model(str(model))
    table = loaded.predict({"text": ["good", "bad"]})
    assert table.to_dict("list") == {
        "label": ["pos", "neg"],
        "probability_neg": [0.25, 0.75],
        "probability_pos": [0.75, 0.25],
    }
    assert loaded.metadata.signature.outputs.input_names() == list(table.columns)
