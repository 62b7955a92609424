"""The one normal form of labels, class names and row ids, whatever file or format they come from.

An experiment names classes (``data.classes``), and every row names one: both are brought to this
form before they are compared, so that one class has one name.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Annotated

from pydantic import BeforeValidator

# Characters without a width of their own. Joiners are kept inside words of scripts that need them
# (Persian, Hindi) and between emoji, and so are tags, which tell the flags of Scotland and Wales
# apart.
_JOINERS = "\u200c\u200d"
_FORMAT_CHARACTERS = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
)
_CONTROLS = "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
_NEEDS_JOINERS = "[\u0590-\u1fff\u2190-\U0010ffff]"
_INVISIBLE = re.compile(f"[{_CONTROLS}{_FORMAT_CHARACTERS}]+")
_STRAY_JOINER = re.compile(f"(?<!{_NEEDS_JOINERS})[{_JOINERS}]|[{_JOINERS}](?!{_NEEDS_JOINERS})")
_SURROGATE = re.compile("[\ud800-\udfff]")
# "007" stays as it is: a code, not the number 7.
_WHOLE_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:\.0*)?")
_TRUTH_VALUES = {"true", "false"}
_CACHED_LENGTH = 200

# What near duplicates may differ in, beside case and compatibility forms.
_IGNORED = re.compile(f"[{_JOINERS}\ufe00-\ufe0f]")
_SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015]+")
_SHORT_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,15})?")
_MARKS_AROUND = " .,;:!'\"`\u2018\u2019\u201c\u201d"


def normal_form(value: object, *, cached: bool = True) -> str | None:
    """The name that a label, a class name or a row id stands for.

    Texts are converted to Unicode's NFC, without invisible characters, and with single blanks.
    Whole numbers are equal however they are written (1, 1.0, "1", "1.0" -> "1"), and so are truth
    values (True, "TRUE", "true" -> "true").

    Args:
        value: of any type that files hold.
        cached: whether the result is kept for the next equal text: classes are few and have many
            rows, ids differ.

    Returns:
        None for a NULL, a NaN or an empty text.

    Raises:
        ValueError: the value is neither text, nor a number, nor a truth value, or it is not valid
            Unicode; the message starts with "must be".
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        # What is long is no class.
        return _cached(value) if cached and len(value) <= _CACHED_LENGTH else _of_text(value)
    if value is None or value != value:  # noqa: PLR0124 - true only of NaN
        return None
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, float | Decimal) and abs(value) != float("inf"):
        return str(int(value)) if value == int(value) else str(value)
    several = isinstance(value, list | tuple | set | dict)
    hint = "; a row has one class, several are not supported" if several else ""
    raise ValueError(f"must be text, a number, true or false, but got {_shown(value)}{hint}")


def visible_form(text: str) -> str:
    """The text in Unicode's NFC, without invisible characters, and with single blanks."""
    if not (text.isascii() and text.isprintable()):
        text = _STRAY_JOINER.sub("", _INVISIBLE.sub("", text))
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())


def _of_text(text: str) -> str | None:
    if text.isdecimal() and text.isascii() and text[0] != "0":
        return text
    if not text.isascii() and (broken := _SURROGATE.search(text)) is not None:
        raise ValueError(
            f"must be valid text, but got {_shown(text)}, which holds {_broken(broken[0])}"
        )
    text = visible_form(text)
    if _WHOLE_NUMBER.fullmatch(text):
        number = text.lstrip("+").partition(".")[0]
        return "0" if number == "-0" else number
    if text.lower() in _TRUTH_VALUES:
        return text.lower()
    return text or None


_cached = lru_cache(maxsize=1 << 12)(_of_text)


def _broken(surrogate: str) -> str:
    """What a lone surrogate stands for: see PEP 383."""
    code = ord(surrogate)
    return f"the byte 0x{code - 0xDC00:02X}" if 0xDC80 <= code <= 0xDCFF else "half of a character"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def class_name(value: object) -> str:
    """A class name of an experiment in its normal form."""
    name = normal_form(value)
    if name is None:
        raise ValueError(f"a class name must not be empty, but got {_shown(value)}")
    return name


ClassName = Annotated[str, BeforeValidator(class_name, json_schema_input_type=str | int | bool)]


def near_duplicates(class_names: Iterable[str]) -> list[str]:
    """A sentence for each group of classes that may be one class, written in several ways.

    They differ in nothing but case, width, hyphens, blanks, punctuation around them, or the way
    that a number is written. Both stay classes: only the owner of the data knows.
    """
    groups = defaultdict(list)
    for name in sorted(class_names):
        groups[_loose_form(name)].append(name)
    return [
        f"the classes {', '.join(map(repr, names))} may be one: they differ only in case, spacing, "
        "punctuation or the form of a number"
        for names in groups.values()
        if len(names) > 1
    ]


def _loose_form(name: str) -> str:
    text = _IGNORED.sub("", unicodedata.normalize("NFKC", name).casefold())
    if _SHORT_NUMBER.fullmatch(text):
        return str(float(text))
    text = _SEPARATORS.sub(" ", text)
    text = unicodedata.normalize("NFKC", text).strip(_MARKS_AROUND)
    return text or name
