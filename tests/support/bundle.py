"""A classifier with random weights, of three classes, that knows four words."""

import torch

from rnnlane.config.text import VocabularyConfig
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.inference.bundle import save_bundle
from rnnlane.models.classifier import build_model
from rnnlane.training.checkpoint import copied_weights
from support.tiny import tiny_experiment


def write_bundle(folder, class_names=("bad", "so so", "good"), overrides=()):
    config = tiny_experiment("text.max_length=20", *overrides)
    vocabulary = Vocabulary.fit({"a": 5, "film": 4, "fine": 3, "dull": 3}, VocabularyConfig())
    model = build_model(
        config.model, vocabulary_size=len(vocabulary), num_classes=len(class_names), seed=4
    )
    if model.ngrams is not None:
        random = torch.Generator().manual_seed(4)
        model.ngrams.ratio.copy_(torch.randn(model.ngrams.ratio.shape, generator=random))
    save_bundle(
        folder,
        weights=copied_weights(model),
        vocabulary=vocabulary.to_jsonl(),
        text=config.text,
        model=config.model.model_dump(mode="json"),
        class_names=class_names,
    )
    return folder
