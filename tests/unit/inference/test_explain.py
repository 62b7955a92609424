"""Shares of tokens on models whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.inference.explain import token_shares
from rnnlane.models.classifier import build_model
from rnnlane.models.linear import TfidfClassifier, fit_tfidf
from rnnlane.models.naive_bayes import fit_naive_bayes
from support.runs import ALONE, trained
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment, tiny_split


class Unchanged(nn.Module):
    """An encoder whose outputs are its inputs."""

    def forward(self, embedded, lengths):
        return embedded, embedded[:, -1]


def sum_of_tokens(pooling: str, scores: list[float]) -> nn.Module:
    """Two classes; the log-odds of the second are the pooled scores of the tokens, plus 0.5."""
    config = tiny_experiment("model.embedding_dim=1", f"model.pooling={pooling}").model
    model = build_model(config, vocabulary_size=len(scores), num_classes=2, seed=0)
    model.body.encoder = Unchanged()
    model.body.head = nn.Linear(1, 2)
    with torch.no_grad():
        model.embedding.weight.copy_(torch.tensor(scores)[:, None])
        model.body.head.weight.copy_(torch.tensor([[0.0], [1.0]]))
        model.body.head.bias.copy_(torch.tensor([0.0, 0.5]))
    return model.eval()


def text_of(ids) -> EncodedSplit:
    ids = np.asarray(ids, dtype=np.int32)
    return EncodedSplit(ids, np.array([0, len(ids)]), np.array([0]))


def test_the_shares_of_a_sum_are_its_terms():
    model = sum_of_tokens("mean", [0.0, -4.0, 2.0, 8.0])
    shares, base, log_odds = token_shares(model, text_of([3, 1, 2, 2]), label=1)
    assert shares == pytest.approx([2.0, -1.0, 0.5, 0.5])
    assert (base, log_odds) == pytest.approx((0.5, 2.5))
    halved, _, log_odds = token_shares(model, text_of([3, 1, 2, 2]), label=1, temperature=2.0)
    assert (halved.tolist(), log_odds) == (pytest.approx(shares / 2), pytest.approx(1.25))
    against, *_ = token_shares(model, text_of([3, 1, 2, 2]), label=0)
    assert against == pytest.approx(-shares)


def test_evidence_that_a_text_has_twice_counts_each_time():
    """Leaving out either of the two changes nothing, which would say that neither matters."""
    model = sum_of_tokens("max", [0.0, 1.0, 6.0])
    shares, *_ = token_shares(model, text_of([2, 1, 2]), label=1)
    assert shares == pytest.approx([3.0, 0.0, 3.0])


def test_a_trained_network_is_explained_by_the_token_that_decides():
    """In the tiny task the remainder of the last token is the label."""
    outcome = trained("training.epochs=12", "training.learning_rate=0.03")
    model = build_model(
        tiny_experiment().model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0
    ).eval()
    model.load_state_dict(outcome.weights)
    rows = tiny_split(30, 7)
    found, num_right = 0, 0
    for row in range(len(rows)):
        ids = rows.token_ids[rows.offsets[row] : rows.offsets[row + 1]]
        shares, base, log_odds = token_shares(model, text_of(ids), label=int(rows.labels[row]))
        assert base + shares.sum() == pytest.approx(log_odds, abs=0.05)
        if log_odds > 0:
            num_right += 1
            found += int(shares.argmax() == len(ids) - 1)
    assert num_right >= 25
    assert found >= 0.9 * num_right


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("weighting", ["nb", "tfidf"])
def test_the_shares_of_the_baseline_add_up_to_what_the_text_changes(num_classes, weighting):
    train = tiny_split(200, 1, num_classes)
    config = tiny_experiment(f"baseline.weighting={weighting}", "baseline.min_rows=1").baseline
    hasher, rows = None, (train.token_ids, train.offsets, train.labels)
    text = replace(text_of([4, 9, 9, 0, 17]), unknown_keys=np.zeros(0, dtype=np.uint32))
    if weighting == "nb":
        hasher = NgramHasher(16, 3, np.arange(VOCABULARY_SIZE, dtype=np.uint32))
        model = fit_naive_bayes(
            *hasher(train), train.labels, config=config, hash_bits=16, num_classes=num_classes
        )
    else:
        settings = {"vocabulary_size": VOCABULARY_SIZE, "num_classes": num_classes}
        model = fit_tfidf(*rows, config=config, **settings)
    batch = BatchMaker(text, torch.device("cpu"), hasher=hasher)(np.array([0]))
    logits = model(*batch.inputs)
    shares, base, log_odds = token_shares(model, text, label=1, hasher=hasher)
    assert base + shares.sum() == pytest.approx(log_odds, abs=1e-3)
    probabilities = logits[0].softmax(dim=0)
    assert log_odds == pytest.approx(float((probabilities[1] / (1 - probabilities[1])).log()))


def test_a_word_of_the_baseline_gets_its_weight_and_half_of_its_pairs():
    model = TfidfClassifier(num_ngrams=2, num_classes=2, vocabulary_size=10, num_words=2)
    model.ngrams.copy_(torch.tensor([3, 10 + 3 * 10 + 4]))  # the word 3, and the pair 3 4
    model.idf.fill_(1.0)
    model.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, -2.0]]))
    shares, *_ = token_shares(model, text_of([5, 3, 4]), label=1)
    each = 1 / np.sqrt(2)  # both features once, in a row of length 1
    assert shares == pytest.approx([0.0, each * (1.0 - 1.0), each * -1.0])


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_shares_of_ngrams_and_of_the_network_add_up_to_what_the_text_changes(num_classes):
    config = tiny_experiment("model.ngrams={bits: 8, max_words: 2}").model
    model = build_model(
        config, vocabulary_size=VOCABULARY_SIZE, num_classes=num_classes, seed=0
    ).eval()
    model.ngrams.ratio.normal_(generator=torch.Generator().manual_seed(0))
    data = tiny_data()
    hasher, text = data.hasher(config), text_of([4, 9, 4, 9, 17])
    text = replace(text, unknown_keys=np.zeros(0, dtype=np.uint32))
    shares, base, log_odds = token_shares(model, text, label=1, hasher=hasher)
    batch = BatchMaker(text, ALONE.device, hasher=hasher)(np.array([0]))
    probabilities = model(*batch.inputs)[0].softmax(dim=0).detach()
    assert log_odds == pytest.approx(float((probabilities[1] / (1 - probabilities[1])).log()))
    assert base + shares.sum() == pytest.approx(log_odds, abs=0.02)
    # Of two classes the way does not matter: an n-gram's share is its weights' difference, halved
    # because what the network says counts as much.
    with torch.no_grad():
        model.body.head.weight.zero_()
    if num_classes == 2:
        shares, *_ = token_shares(model, text, label=1, hasher=hasher)
        (_, ones), (_, pairs) = hasher.occurrences(text)
        values = (model.ngrams.ratio * model.ngrams.weight).detach()
        value = (values[:, 1] - values[:, 0]).numpy() / 2
        last = value[ones[4]] + value[pairs[3]] / 2
        assert shares[4] == pytest.approx(last, rel=1e-5)
        # 4 and "4 9" stand there twice: half of each, and half of that half for each word.
        first = value[ones[0]] / 2 + value[pairs[0]] / 4
        assert shares[0] == pytest.approx(first, rel=1e-5)
