"""The baseline of TF-IDF against scikit-learn's own text pipeline on the same words."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from rnnlane.config.baseline import BaselineConfig
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.models.linear import TfidfClassifier, fit_tfidf, ngrams_of
from support.tiny import VOCABULARY_SIZE, tiny_split

ALL_ROWS = np.arange(37)


def fitted(num_classes: int, **settings) -> TfidfClassifier:
    split = tiny_split(101, 1, num_classes)
    return fit_tfidf(
        split.token_ids,
        split.offsets,
        split.labels,
        config=BaselineConfig(weighting="tfidf", **settings),
        vocabulary_size=VOCABULARY_SIZE,
        num_classes=num_classes,
    )


def as_texts(split) -> list[str]:
    rows = np.split(split.token_ids, split.offsets[1:-1])
    return [" ".join(f"w{token}" for token in row) for row in rows]


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(("num_words", "min_rows"), [(1, 1), (2, 2)])
def test_it_says_what_scikit_learn_says_of_the_same_words(num_classes, num_words, min_rows):
    model = fitted(num_classes, num_words=num_words, min_rows=min_rows, inverse_strength=3.0)
    train, test = tiny_split(101, 1, num_classes), tiny_split(37, 2, num_classes)
    words = TfidfVectorizer(
        token_pattern=r"\S+", ngram_range=(1, num_words), min_df=min_rows, sublinear_tf=True
    )
    regression = LogisticRegression(C=3.0, max_iter=1000)
    regression.fit(words.fit_transform(as_texts(train)), train.labels)
    expected = regression.predict_proba(words.transform(as_texts(test)))

    batch = BatchMaker(test, torch.device("cpu"))(ALL_ROWS)
    logits = model(batch.token_ids, batch.lengths)

    assert len(model.ngrams) == len(words.vocabulary_)
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), expected, atol=1e-3)


def test_the_answer_for_a_row_depends_neither_on_padding_nor_on_other_rows():
    model = fitted(2)
    test = tiny_split(37, 2)
    together = BatchMaker(test, torch.device("cpu"))(ALL_ROWS)
    all_logits = model(together.token_ids, together.lengths)
    for row in (0, 17, 36):
        alone = BatchMaker(test, torch.device("cpu"))(np.array([row]))
        torch.testing.assert_close(model(alone.token_ids, alone.lengths)[0], all_logits[row])


def test_no_pair_of_words_spans_two_rows():
    rows, ngrams = ngrams_of(
        np.array([3, 4, 5]), np.array([0, 2, 3]), vocabulary_size=10, num_words=2
    )
    assert list(zip(rows.tolist(), ngrams.tolist(), strict=True)) == [
        (0, 3),
        (0, 4),
        (1, 5),
        (0, 10 + 34),
    ]


def test_a_class_without_rows_gets_no_probability():
    split = tiny_split(101, 1)
    model = fit_tfidf(
        split.token_ids,
        split.offsets,
        split.labels * 2,
        config=BaselineConfig(weighting="tfidf"),
        vocabulary_size=VOCABULARY_SIZE,
        num_classes=3,
    )
    batch = BatchMaker(split, torch.device("cpu"))(ALL_ROWS)
    probabilities = model(batch.token_ids, batch.lengths).softmax(dim=1)
    assert (probabilities[:, 1] == 0).all()
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(37, dtype=torch.float64))
