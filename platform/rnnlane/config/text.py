"""How a text becomes a sequence of tokens."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from rnnlane.config.section import (
    PositiveInt,
    Section,
)


class VocabularyConfig(Section):
    """Which tokens of the train split get a number of their own."""

    max_size: int = Field(30_000, ge=3, description="Tokens kept, padding and unknown included.")
    min_count: PositiveInt = Field(2, description="Times a token must occur in train to be kept.")


_NO_STOP_WORDS = {"", "yes", "no", "on", "true", "false", "none", "null", "1", "0"}


class TextConfig(Section):
    """How a text becomes a sequence of tokens."""

    tokenizer: Literal["wordpunct", "toktok", "treebank", "nltk_word", "tweet", "characters"] = (
        Field(
            "wordpunct",
            description="An NLTK word tokenizer that needs no download, or characters. wordpunct "
            "splits off all punctuation and is the fastest; treebank, nltk_word and toktok keep a "
            "full stop inside a text attached to its word.",
        )
    )
    lowercase: bool = Field(True, description="Fold case before tokenizing.")
    strip_html: bool = Field(True, description="Replace tags by a space and resolve entities.")
    unicode_form: Literal["NFC", "NFKC", "none"] = Field(
        "NFKC", description="Unicode normal form that texts are converted to."
    )
    stop_words: str = Field(
        "off",
        description="Words left out: off, english, english_keep_negations (keeps not, no, never "
        "and the like), or the path of a file with one word a line.",
    )
    max_length: PositiveInt = Field(400, description="Tokens kept of a text; the rest is cut.")
    keep: Literal["head", "tail"] = Field(
        "head", description="Which end of a text that is too long is kept."
    )
    max_chars: PositiveInt = Field(
        100_000,
        description="Characters read of a text; a longer text is cut before cleaning, and counted.",
    )
    vocabulary: VocabularyConfig = VocabularyConfig()

    @field_validator("stop_words", mode="before")
    @classmethod
    def _says_which_words(cls, value: Any) -> Any:
        # As the path of a file, `yes` would be looked for when everything has started.
        if str(value).strip().lower() in _NO_STOP_WORDS:
            raise ValueError(
                "must be off, english, english_keep_negations or the path of a file, but got "
                f"{str(value).lower() if isinstance(value, bool) else repr(value)}"
            )
        return value

    @model_validator(mode="after")
    def _characters_have_no_stop_words(self) -> Self:
        if self.tokenizer == "characters" and self.stop_words != "off":
            raise ValueError(
                f"stop_words must be off with tokenizer characters, but got {self.stop_words!r}"
            )
        return self
