import pytest

from rnnlane.config.experiment import VocabularyConfig
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.inference.bundle import save_bundle
from rnnlane.models.classifier import build_model
from rnnlane.training.checkpoint import contiguous_weights
from support.tiny import tiny_experiment


@pytest.fixture
def bundle(tmp_path):
    """The folder of a classifier with random weights, of three classes."""
    config = tiny_experiment("text.max_length=20")
    vocabulary = Vocabulary.fit({"a": 5, "film": 4, "fine": 3, "dull": 3}, VocabularyConfig())
    model = build_model(config.model, vocabulary_size=len(vocabulary), num_classes=3, seed=4)
    save_bundle(
        tmp_path,
        weights=contiguous_weights(model),
        vocabulary=vocabulary.to_jsonl(),
        text=config.text,
        model=config.model.model_dump(mode="json"),
        class_names=("bad", "so so", "good"),
    )
    return tmp_path
