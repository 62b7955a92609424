"""The strong baseline against scikit-learn's pieces on the same words."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from rnnlane.config.baseline import BaselineConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.models import naive_bayes
from rnnlane.models.naive_bayes import (
    NaiveBayesClassifier,
    fit_naive_bayes,
    rows_to_fit,
    share_to_fit,
)
from support.tiny import VOCABULARY_SIZE, tiny_split

CPU = torch.device("cpu")


# Large ones too, and such that no two n-grams share a bucket.
KEYS = np.arange(VOCABULARY_SIZE, dtype=np.uint32) * np.uint32(2654435761)
BITS = 22


def hasher(num_words: int = 3) -> NgramHasher:
    return NgramHasher(BITS, num_words, KEYS)


def fitted(split: EncodedSplit, num_classes: int, **settings) -> NaiveBayesClassifier:
    config = BaselineConfig(**settings)
    return fit_naive_bayes(
        *hasher(config.num_words)(split),
        split.labels,
        config=config,
        hash_bits=BITS,
        num_classes=num_classes,
    )


def logits(model: NaiveBayesClassifier, split: EncodedSplit) -> torch.Tensor:
    make_batch = BatchMaker(split, CPU, hasher=hasher(model.num_words))
    return model(*make_batch(np.arange(len(split))).inputs)


def as_texts(split: EncodedSplit) -> list[str]:
    rows = np.split(split.word_keys(KEYS), split.offsets[1:-1])
    return [" ".join(f"w{key}" for key in row) for row in rows]


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
    train, test = tiny_split(101, 1, num_classes), tiny_split(37, 2, num_classes)
    settings = {"num_words": num_words, "min_rows": min_rows, "inverse_strength": 0.3}
    model = fitted(train, num_classes, **settings)
    expected, num_ngrams = reference(train, test, num_classes, **settings)
    assert model.num_ngrams == num_ngrams
    found = logits(model, test).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_answer_for_a_row_depends_neither_on_padding_nor_on_other_rows():
    train, test = tiny_split(101, 1, 3), tiny_split(37, 2, 3)
    model = fitted(train, 3)
    together = logits(model, test)
    for row in (0, 17, 36):
        torch.testing.assert_close(logits(model, test.take(np.array([row])))[0], together[row])


def test_an_ngram_that_a_row_has_twice_counts_once():
    model = fitted(tiny_split(101, 1), 2)
    once, twice = (
        EncodedSplit(np.array(ids, dtype=np.int32), np.array([0, len(ids)]), np.zeros(1, np.int64))
        for ids in ([4, 4], [4, 4, 4])
    )
    buckets, _ = hasher()(replace(twice, unknown_keys=np.zeros(0, np.uint32)))
    assert len(buckets) == 3  # 4, 4 4 and 4 4 4
    shared, _ = hasher()(replace(once, unknown_keys=np.zeros(0, np.uint32)))
    assert set(shared) < set(buckets)
    said = model.values(torch.from_numpy(buckets)).sum(dim=0)
    found = logits(model, replace(twice, unknown_keys=np.zeros(0, np.uint32)))[0]
    torch.testing.assert_close(found, model.link((model.bias + said)[None])[0])


def test_a_class_without_rows_gets_no_probability():
    split = tiny_split(101, 1)
    shifted = replace(split, labels=split.labels * 2)
    probabilities = logits(fitted(shifted, 3), split).softmax(dim=1)
    assert (probabilities[:, 1] == 0).all()
    torch.testing.assert_close(
        probabilities[:, [0, 2]], logits(fitted(split, 2), split).softmax(dim=1)
    )
    only = replace(split, labels=split.labels * 0 + 1)
    assert (logits(fitted(only, 3), split).softmax(dim=1)[:, 1] == 1).all()


def test_many_rows_are_sampled_by_class_and_many_classes_share_less_room(monkeypatch):
    split, config = tiny_split(101, 1, 3), BaselineConfig()
    settings = {"config": config, "num_classes": 3}
    assert share_to_fit(split.num_tokens, **settings) == 1
    occurrences = 9 * split.num_tokens  # three words, three regressions
    monkeypatch.setattr(naive_bayes, "MAX_OCCURRENCES", occurrences // 2)
    share = share_to_fit(split.num_tokens, **settings)
    chosen = rows_to_fit(split.labels, share=share, seed=0)
    counts = np.bincount(split.labels)
    assert np.bincount(split.labels[chosen]).tolist() == (counts // 2).tolist()
    assert (np.diff(chosen) > 0).all()
    assert naive_bayes.bits_for(config, num_classes=2) == 22
    assert naive_bayes.bits_for(config, num_classes=1000) == 16
