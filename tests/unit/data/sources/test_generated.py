from __future__ import annotations

import re
from collections import defaultdict

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from rnnlane.config.text import TextConfig
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.sources import generated
from rnnlane.data.sources.generated import GeneratedSource, generate_reviews

CLEAN = TextProcessor.from_config(TextConfig()).clean
NEGATORS = re.compile(r"\b(not|never|hardly|far from|nobody)\b")
TURNS = re.compile(r"take back|the opposite")
MEANT = re.compile(
    r"(?:although|even though) .*?, (.*)|(.*), (?:although|even though) .*|.*, (?:but|yet) (.*)"
)

GOLDEN = [
    (
        "Even though everybody called the movie stale, the acting felt convincing.<br /><br />"
        "A sailor near us had read the book.",
        "positive",
    ),
    (
        "The music is delightful, but the final scene is terrible... Lily plays a pilot from "
        "Cairo! The film follows a young lawyer who moves to Vienna.",
        "negative",
    ),
]


def config(**settings: object) -> GeneratedSource:
    return GeneratedSource.model_validate({"kind": "generated", **settings})


def reviews(**settings: object) -> list[tuple[str, str]]:
    source = config(**settings)
    return list(generate_reviews(source, 0, source.num_rows))


def read(text: str) -> int:
    """The score by the rules that the module states, found in the text alone."""
    score = 0
    text = CLEAN(text).replace(". however,", ", but")
    for sentence in re.split(r"[.!]+", text):
        score += _opinion(sentence.strip())
        if TURNS.search(sentence):
            score = -score
    return score


def _opinion(sentence: str) -> int:
    if contrast := MEANT.fullmatch(sentence):
        sentence = next(group for group in contrast.groups() if group)
    score, strength = 0, 2
    strengths = {word: n for n, words in generated._STRENGTHS.items() for word in words if word}
    strengths["little"] = 1
    for word in re.findall(r"\w+", sentence):
        strength = strengths.get(word, strength)
        for sign, adjectives in generated._ADJECTIVES.items():
            score += sign * strength * (word in adjectives)
    return -score if NEGATORS.search(sentence) else score


def test_labels_follow_from_the_text_by_the_stated_rules() -> None:
    for text, name in reviews(num_rows=3000):
        assert (read(text) > 0) == (name == "positive"), text
        assert read(text) != 0


def test_a_row_depends_on_its_number_and_the_config_alone() -> None:
    everything = reviews(num_rows=60)
    assert list(generate_reviews(config(num_rows=60), 17, 41)) == everything[17:41]
    assert reviews(num_rows=60, seed=1) != everything
    assert list(generate_reviews(config(num_rows=60), 5, 5)) == []


def test_reviews_are_the_same_on_every_machine_and_release() -> None:
    assert list(generate_reviews(config(), 0, 2)) == GOLDEN


@pytest.mark.parametrize(
    ("num_rows", "balance", "negatives"),
    [(1000, (0.5, 0.5), 500), (11, (0.5, 0.5), 6), (1000, (0.03, 0.97), 30), (10, (0.9, 0.1), 9)],
)
def test_class_shares_are_exact_and_spread_evenly(num_rows, balance, negatives) -> None:
    names = [name for _, name in reviews(num_rows=num_rows, balance=balance)]
    assert names.count("negative") == negatives
    half = names[: num_rows // 2].count("negative")
    assert abs(half - negatives / 2) <= 1


def test_reviews_rarely_repeat_and_use_few_words() -> None:
    texts = [CLEAN(text) for text, _ in reviews(num_rows=10_000)]
    assert len(set(texts)) > 9900
    assert 100 < len({word for text in texts for word in re.findall(r"\w+", text)}) < 500


def test_the_number_of_clauses_sets_the_length() -> None:
    lengths = [
        sum(len(CLEAN(text).split()) for text, _ in reviews(num_rows=300, mean_clauses=mean)) / 300
        for mean in (1, 4, 12)
    ]
    assert 4 < lengths[0] < 10
    assert 20 < lengths[1] < 40
    assert 60 < lengths[2] < 120


def test_reviews_give_cleaning_something_to_do() -> None:
    raw = " ".join(text for text, _ in reviews(num_rows=300))
    assert "<br />" in raw
    assert "&amp;" in raw
    assert re.search(r"[A-Z]{4}", raw)


def test_a_bag_of_words_knows_part_of_the_answer_only() -> None:
    rows = reviews(num_rows=4000)
    texts, names = [CLEAN(text) for text, _ in rows], [name for _, name in rows]
    vectorizer = CountVectorizer()
    counts = vectorizer.fit_transform(texts[:3200])
    model = LogisticRegression(max_iter=500).fit(counts, names[:3200])
    assert 0.55 < model.score(vectorizer.transform(texts[3200:]), names[3200:]) < 0.88


def test_the_strong_word_of_a_mixed_opinion_stands_first_or_last() -> None:
    found = {
        (name, bool(re.search("(truly|utterly|deeply|absolutely).* (slight|mild|some|a l)", text)))
        for text, name in reviews(num_rows=1000, mean_clauses=1)
        if " both " in text
    }
    assert len(found) == 4


def test_equal_words_in_another_order_can_have_another_label() -> None:
    labels = defaultdict(set)
    for text, name in reviews(num_rows=40_000, mean_clauses=1):
        labels[tuple(sorted(re.findall(r"\w+", text.lower())))].add(name)
    assert any(len(names) == 2 for names in labels.values())
