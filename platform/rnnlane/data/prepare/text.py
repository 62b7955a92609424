"""Text -> tokens: clean, tokenize, remove stop words. Pure functions of text and config.

nltk and scikit-learn take one to two seconds to import, so each is imported where it is first used.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from rnnlane.config.text import TextConfig
from rnnlane.errors import ConfigError

Tokenize = Callable[[str], list[str]]

NEGATIONS = frozenset(
    "against cannot cant couldnt hasnt neither never no nobody none noone nor not nothing "  # noqa: SIM905
    "nowhere without".split()
)

# Control characters that are not white space, soft hyphen, byte order mark, surrogates and the
# replacement character: none is part of a word, each would split one.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\ufeff\ud800-\udfff\ufffd]+")

# Of NLTK's WordPunctTokenizer, which runs it on the same engine; `re` has another \w.
_WORD_OR_PUNCTUATION = r"\w+|[^\w\s]+"

# A name right after "<" and attributes with values, so that "a < b and c > d" and "<3" stay.
# "<" stands in no repeated part and those are possessive: the time is linear in the text's length.
_TAG = re.compile(
    r"""</?+[a-z][a-z0-9:-]*+
        (?:\s++[a-z_:][\w:.-]*+ \s*+=\s*+ (?:"[^"<>]*+" | '[^'<>]*+' | [^\s"'<>]++))*+
        \s*+/?+\s*+>
      | <!--[^<>]*+>""",
    re.IGNORECASE | re.VERBOSE,
)


def load_stop_words(setting: str) -> frozenset[str]:
    """The stop words to remove from the tokens, in lower case.

    Args:
        setting: ``text.stop_words``: ``off``, ``english``, ``english_keep_negations`` or the path
            of a UTF-8 file with one word a line.

    Raises:
        ConfigError: the file cannot be read or is not UTF-8.
    """
    if setting == "off":
        return frozenset()
    if setting in {"english", "english_keep_negations"}:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        kept = NEGATIONS if setting == "english_keep_negations" else frozenset()
        return frozenset(ENGLISH_STOP_WORDS) - kept
    return _read_words(Path(setting))


class TextProcessor:
    """Cleans and tokenizes texts as a :class:`TextConfig` says. Small to pickle.

    Attributes:
        config: the settings.
        stop_words: lower-case words left out of the tokens.
    """

    def __init__(self, config: TextConfig, stop_words: frozenset[str]):
        self.config = config
        self.stop_words = stop_words

    @classmethod
    def from_config(cls, config: TextConfig) -> TextProcessor:
        """A processor with the stop words that the config names.

        Raises:
            ConfigError: the file of stop words cannot be read.
        """
        return cls(config, load_stop_words(config.stop_words))

    def __call__(self, text: str) -> list[str]:
        """The tokens of the first ``max_chars`` characters; not cut to ``max_length``."""
        tokens = _tokenizer(self.config.tokenizer)(self.clean(text[: self.config.max_chars]))
        if not self.stop_words:
            return tokens
        return [token for token in tokens if token.lower() not in self.stop_words]

    def clean(self, text: str) -> str:
        """The text without markup and invisible characters, in one Unicode form and case.

        Entities are resolved once, as a browser does, and before tags are removed: markup that
        was escaped on its way (``&lt;br&gt;``) is markup again. Runs of white space become one
        space. Time is linear in the length of the text; only the normal form of a run of thousands
        of combining marks is quadratic (8 s for 100,000), which ``max_chars`` bounds.
        """
        text = self._normalized(text)
        if self.config.strip_html:
            if "&" in text:
                text = self._normalized(html.unescape(text))
            if "<" in text:
                text = _TAG.sub(" ", text)
        if self.config.lowercase:
            text = self._normalized(text.lower())
        return " ".join(text.split())

    def _normalized(self, text: str) -> str:
        # The quick checks spare most texts a regex and a table look-up for each character.
        if not text.isprintable() or "\ufffd" in text:
            text = _INVISIBLE.sub("", text)
        if self.config.unicode_form == "none" or text.isascii():
            return text
        return unicodedata.normalize(self.config.unicode_form, text)


@functools.cache
def _tokenizer(name: str) -> Tokenize:
    """The tokenizer of that name; none needs a download of NLTK's data."""
    if name == "characters":
        return list
    if name == "wordpunct":
        # NLTK gives each text a time limit, which takes 4 times as long; this takes linear time.
        import regex

        findall: Tokenize = regex.compile(_WORD_OR_PUNCTUATION).findall
        return findall
    from nltk import tokenize

    tokenizers: dict[str, Callable[[], object]] = {
        "toktok": tokenize.ToktokTokenizer,
        "treebank": tokenize.TreebankWordTokenizer,
        "nltk_word": tokenize.NLTKWordTokenizer,
        # Its search for phone numbers takes quadratic time on a long run of digits.
        "tweet": functools.partial(tokenize.TweetTokenizer, match_phone_numbers=False),
    }
    method: Tokenize = tokenizers[name]().tokenize  # type: ignore[attr-defined]
    return method


def _read_words(path: Path) -> frozenset[str]:
    where, remedy = "text.stop_words", "give off, english, english_keep_negations or a UTF-8 file"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        message = f"stop words must be UTF-8 text, but byte {error.start} of {str(path)!r} is not"
        raise ConfigError(message, where=where, remedy=remedy) from None
    except OSError as error:
        message = f"cannot read the stop words {str(path)!r}: {error.strerror}"
        raise ConfigError(message, where=where, remedy=remedy) from None
    return frozenset(word for line in lines if (word := line.strip().lower()))
