from __future__ import annotations

import html
import pickle
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nltk.tokenize import WordPunctTokenizer

from rnnlane.config.text import TextConfig
from rnnlane.data.prepare.text import NEGATIONS, TextProcessor, load_stop_words
from rnnlane.errors import ConfigError

TOKENIZERS = ["wordpunct", "toktok", "treebank", "nltk_word", "tweet", "characters"]
texts = st.text(st.characters(exclude_categories=[]), max_size=60)
snippets = st.lists(
    st.sampled_from(["<br />", "<", ">", "a", " ", "&", "lt;", "=", '"', "/", "é", "\u0301", "İ"])
).map("".join)


def processor(**settings: object) -> TextProcessor:
    return TextProcessor.from_config(TextConfig.model_validate(settings))


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("One.<br /><br />Two.<BR>Three<br/>!", "one. two. three !"),
        ('<a href="x.html" class=b>Link</a> <p\n>text</p>', "link text"),
        ("before<!-- a comment -->after", "before after"),
        ("a < b and c > d, I <3 it, x<y and y>z", "a < b and c > d, i <3 it, x<y and y>z"),
        ("Tom &amp; Jerry&#39;s &quot;show&quot;", 'tom & jerry\'s "show"'),
        ("&lt;br&gt;escaped", "escaped"),
        ("&amp;lt;br&amp;gt;", "&lt;br&gt;"),
        ("bell&#7;\x00 re\u00adview\ufeff\ufffd \ud800lone", "bell review lone"),
        ("tab\tnew\r\nline\u00a0\u2028 end ", "tab new line end"),
        ("ＦＵＬＬ ﬁlm cafe\u0301", "full film café"),
        ("＜br＞wide", "wide"),
        (
            "J\u030c has a composed form in lower case only",
            "ǰ has a composed form in lower case only",
        ),
        ("caf\ufffd", "caf"),
        ("", ""),
    ],
)
def test_clean_removes_markup_and_invisible_characters(raw: str, clean: str) -> None:
    assert processor().clean(raw) == clean


def test_each_step_of_cleaning_can_be_turned_off() -> None:
    kept = processor(strip_html=False, lowercase=False, unicode_form="none")
    assert kept.clean("<br /> &amp;  Ｗide cafe\u0301") == "<br /> &amp; Ｗide cafe\u0301"
    assert processor(unicode_form="NFC").clean("ﬁlm cafe\u0301") == "ﬁlm café"


@given(texts | snippets)
@example("naïve a\u0301 ᠎x\u200dy\x1cz")
def test_wordpunct_gives_the_tokens_of_nltk(text: str) -> None:
    raw = processor(strip_html=False, lowercase=False, unicode_form="none")
    assert raw(text) == WordPunctTokenizer().tokenize(raw.clean(text))


@given(texts | snippets)
@example("İ\u0323")
@example("℃")
def test_clean_is_idempotent_where_no_entity_is_left(text: str) -> None:
    for form in ("NFC", "NFKC", "none"):
        clean = processor(unicode_form=form).clean(text)
        if html.unescape(clean) == clean:
            assert processor(unicode_form=form).clean(clean) == clean


@given(texts)
def test_clean_text_can_be_encoded_and_has_single_spaces(text: str) -> None:
    clean = processor().clean(text)
    clean.encode()
    assert clean.split() == [word for word in clean.split(" ") if word]


@pytest.mark.parametrize("piece", ["<", "<a ", "<a b=", "<a b='", "<!--", "&", "&#", "&lt;", " <"])
def test_clean_of_a_hostile_text_takes_linear_work(piece: str) -> None:
    # Quadratic work on two million characters would take hours and the run would be cut off.
    assert isinstance(processor().clean(piece * (2_000_000 // len(piece))), str)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_every_tokenizer_splits_words_and_survives_a_round_of_pickle(tokenizer: str) -> None:
    made = processor(tokenizer=tokenizer)
    tokens = made("The film isn't <br /> bad, is it?")
    assert tokens == pickle.loads(pickle.dumps(made))("The film isn't <br /> bad, is it?")
    assert "".join(tokens).replace(" ", "") == "thefilmisn'tbad,isit?"
    assert made("") == made(" \n ") == []


def test_tweet_leaves_phone_numbers_in_pieces_as_their_search_is_quadratic() -> None:
    assert processor(tokenizer="tweet")("call 800 123 4567 :-)") == [
        *("call", "800", "123", "4567"),
        ":-)",
    ]


def test_characters_are_one_token_each() -> None:
    assert processor(tokenizer="characters")("A <b>b</b>") == ["a", " ", "b"]


@pytest.mark.parametrize("piece", ["1", "a.", "(", "#a", "a-", "'", "...", "http://"])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_no_tokenizer_hangs_on_a_hostile_text(tokenizer: str, piece: str) -> None:
    assert processor(tokenizer=tokenizer)(piece * (20_000 // len(piece)))


def test_tokenizers_need_neither_nltk_data_nor_an_early_import() -> None:
    script = (
        "import sys; from rnnlane.config.experiment import TextConfig\n"
        "from rnnlane.data.prepare.text import TextProcessor\n"
        "assert not {'nltk', 'sklearn'} & set(sys.modules)\n"
        f"for name in {TOKENIZERS}:\n"
        "    assert TextProcessor(TextConfig(tokenizer=name), frozenset())('It is not. Good!')\n"
    )
    environment = {"NLTK_DATA": "/nonexistent", "HOME": "/nonexistent"}
    environment["PYTHONPATH"] = ":".join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, cwd="/")


def test_a_text_is_cut_to_max_chars_before_it_is_cleaned() -> None:
    assert processor(max_chars=8)("one <br>two three") == ["one"]
    assert processor(max_length=1)("one two three") == ["one", "two", "three"]


def test_english_stop_words_hold_negations_unless_they_are_kept() -> None:
    assert load_stop_words("off") == frozenset()
    english, kept = load_stop_words("english"), load_stop_words("english_keep_negations")
    assert {"the", "not"} <= english
    assert english - kept == NEGATIONS


def test_stop_words_are_left_out_whatever_their_case() -> None:
    made = processor(stop_words="english_keep_negations", lowercase=False)
    assert made("The film was NOT the best") == ["film", "NOT", "best"]


def test_stop_words_come_from_a_file(tmp_path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeffThe\n\n film \n", encoding="utf-8")
    assert load_stop_words(str(path)) == {"the", "film"}
    assert processor(stop_words=str(path))("The good film") == ["good"]


def test_an_unreadable_stop_word_file_is_named(tmp_path) -> None:
    path = tmp_path / "words.txt"
    with pytest.raises(ConfigError, match=r"text\.stop_words: cannot read .*words\.txt.*No such"):
        load_stop_words(str(path))
    path.write_bytes(b"the\n\xff\n")
    with pytest.raises(ConfigError, match=r"must be UTF-8 text, but byte 4 of"):
        load_stop_words(str(path))
    with pytest.raises(ConfigError, match="directory"):
        load_stop_words(str(tmp_path))
