import pytest
import torch

from rnnlane.models.classifier import build_model
from rnnlane.models.from_language_model import apply_pretrained
from rnnlane.pretraining.language_model import build_language_model
from support.language import language_data, language_experiment
from support.tiny import VOCABULARY_SIZE

COUNTS = [*language_data().token_counts, 110]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_classifiers_layers_compute_what_those_of_the_language_model_do(cell, bidirectional):
    config = language_experiment(
        "model.num_layers=2",
        f"model.cell={cell}",
        f"model.bidirectional={str(bidirectional).lower()}",
    )
    language_model = build_language_model(config, COUNTS, seed=1)
    classifier = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=2)
    weights = language_model.state_dict()
    apply_pretrained(classifier, weights)

    ids = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 11, 12]])
    outputs, _ = classifier.body.encoder(classifier.embedding(ids), torch.tensor([5, 5]))
    embedded = language_model.embedding(ids).transpose(0, 1)
    forward = language_model.readers[0].rnn(embedded)[0].transpose(0, 1)
    torch.testing.assert_close(outputs[:, :, :5], forward)
    if bidirectional:
        backward = language_model.readers[1].rnn(embedded.flip(0))[0].flip(0).transpose(0, 1)
        torch.testing.assert_close(outputs[:, :, 5:], backward)
    assert not classifier.embedding.weight[0].any()
    assert torch.equal(
        classifier.embedding.weight[1:], weights["embedding.weight"][1:VOCABULARY_SIZE]
    )
