"""The strong baseline against scikit-learn's pieces on the same words."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from rnnlane.config.baseline import BaselineConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.models import naive_bayes
from rnnlane.models.naive_bayes import NaiveBayesClassifier, fit_naive_bayes, rows_to_fit
from support.tiny import tiny_split

CPU = torch.device("cpu")


def keyed(num_rows: int, seed: int, num_classes: int = 2) -> EncodedSplit:
    """Rows of words whose keys are large and, as int32, partly negative."""
    split = tiny_split(num_rows, seed, num_classes)
    keys = (split.token_ids.astype(np.uint64) * np.uint64(2246822519)).astype(np.uint32)
    return EncodedSplit(keys.view(np.int32), split.offsets, split.labels)


def fitted(split: EncodedSplit, num_classes: int, **settings) -> NaiveBayesClassifier:
    return fit_naive_bayes(
        split.token_ids.view(np.uint32),
        split.offsets,
        split.labels,
        config=BaselineConfig(**settings),
        num_classes=num_classes,
    )


def logits(model: NaiveBayesClassifier, split: EncodedSplit) -> torch.Tensor:
    batch = BatchMaker(split, CPU)(np.arange(len(split)))
    return model(batch.token_ids, batch.lengths)


def as_texts(split: EncodedSplit) -> list[str]:
    rows = np.split(split.token_ids.view(np.uint32), split.offsets[1:-1])
    return [" ".join(f"w{token}" for token in row) for row in rows]


def reference(train: EncodedSplit, test: EncodedSplit, num_classes: int, **settings):
    """Wang and Manning by hand: probabilities float64 [N, C], and the number of n-grams."""
    words = CountVectorizer(
        token_pattern=r"\S+",
        ngram_range=(1, settings["num_words"]),
        min_df=settings["min_rows"],
        binary=True,
    )
    has, asked = words.fit_transform(as_texts(train)).toarray(), words.transform(as_texts(test))
    probabilities = []
    for label in range(num_classes):
        p = 1 + has[train.labels == label].sum(axis=0)
        q = 1 + has[train.labels != label].sum(axis=0)
        ratios = np.log((p / np.abs(p).sum()) / (q / np.abs(q).sum()))
        regression = LogisticRegression(C=settings["inverse_strength"], tol=1e-8, max_iter=10000)
        regression.fit(has * ratios, train.labels == label)
        probabilities.append(expit(regression.decision_function(asked.toarray() * ratios)))
    of_class = np.stack(probabilities, axis=1)
    return of_class / of_class.sum(axis=1, keepdims=True), len(words.vocabulary_)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(("num_words", "min_rows"), [(1, 1), (2, 2), (3, 1), (3, 2)])
def test_it_says_what_the_paper_s_formulas_say(num_classes, num_words, min_rows):
    train, test = keyed(101, 1, num_classes), keyed(37, 2, num_classes)
    settings = {"num_words": num_words, "min_rows": min_rows, "inverse_strength": 0.3}
    model = fitted(train, num_classes, **settings)
    expected, num_ngrams = reference(train, test, num_classes, **settings)
    assert model.num_ngrams == num_ngrams
    found = logits(model, test).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_answer_for_a_row_depends_neither_on_padding_nor_on_other_rows(monkeypatch):
    train, test = keyed(101, 1, 3), keyed(37, 2, 3)
    model = fitted(train, 3)
    together = logits(model, test)
    for row in (0, 17, 36):
        torch.testing.assert_close(logits(model, test.take(np.array([row])))[0], together[row])
    # And neither does the fit on how many rows are read at once.
    monkeypatch.setattr(naive_bayes, "_TOKENS_AT_ONCE", 20)
    again = fitted(train, 3)
    assert torch.equal(again.weight, model.weight)


def test_no_ngram_spans_two_rows_and_none_counts_twice():
    keys, offsets = np.array([7, 7, 7, 8], dtype=np.uint32), np.array([0, 3, 4])
    buckets, starts = naive_bayes.row_buckets(keys, offsets, hash_bits=20, num_words=3)
    assert starts.tolist() == [0, 3, 4]  # 7, 7 7 and 7 7 7; and 8
    assert len(set(buckets.tolist())) == 4


def test_contributions_add_up_to_the_scores():
    train = keyed(101, 1, 3)
    model = fitted(train, 3)
    [row] = [train.token_ids[train.offsets[4] : train.offsets[5]]]
    parts = model.contributions(np.concatenate([row, row]))
    batch = torch.from_numpy(np.concatenate([row, row])[None].astype(np.int64))
    expected = model(batch, torch.tensor([2 * len(row)]))
    found = model.link(model.bias + torch.from_numpy(parts.sum(axis=0)))
    torch.testing.assert_close(found[None], expected)
    assert parts.shape == (2 * len(row), 3)


def test_a_class_without_rows_gets_no_probability():
    split = keyed(101, 1)
    shifted = EncodedSplit(split.token_ids, split.offsets, split.labels * 2)
    probabilities = logits(fitted(shifted, 3), split).softmax(dim=1)
    assert (probabilities[:, 1] == 0).all()
    torch.testing.assert_close(
        probabilities[:, [0, 2]], logits(fitted(split, 2), split).softmax(dim=1)
    )
    only = EncodedSplit(split.token_ids, split.offsets, split.labels * 0 + 1)
    assert (logits(fitted(only, 3), split).softmax(dim=1)[:, 1] == 1).all()


def test_many_rows_are_sampled_by_class_and_many_classes_share_less_room(monkeypatch):
    split, config = keyed(101, 1, 3), BaselineConfig()
    settings = {"config": config, "num_classes": 3, "seed": 0}
    assert len(rows_to_fit(split.offsets, split.labels, **settings)) == 101
    occurrences = 9 * int(split.offsets[-1])  # three words, three regressions
    monkeypatch.setattr(naive_bayes, "MAX_OCCURRENCES", occurrences // 2)
    chosen = rows_to_fit(split.offsets, split.labels, **settings)
    counts = np.bincount(split.labels)
    assert np.bincount(split.labels[chosen]).tolist() == (counts // 2).tolist()
    assert (np.diff(chosen) > 0).all()
    assert naive_bayes.bits_for(22, num_outputs=1) == 22
    assert naive_bayes.bits_for(22, num_outputs=1000) == 16
