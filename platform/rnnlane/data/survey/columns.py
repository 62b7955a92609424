"""Which columns of a table hold the texts, the labels and the ids, by their names and values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rnnlane.data.sources.column_files import columns_named, shown_names
from rnnlane.errors import DataError

# Words in the names of columns, the surest first.
LABEL_WORDS = tuple(
    frozenset(words.split())
    for words in (
        "label class category target sentiment intent topic emotion polarity genre y "
        "метка класс категория тональность klasse kategorie etiqueta categoria catégorie étiquette "
        "标签 类别 ラベル",
        "tag type rating stars score spam toxic department queue group gold annotation verdict",
        "priority severity status language lang gender overall",
    )
)
TEXT_WORDS = tuple(
    frozenset(words.split())
    for words in (
        "text texts review comment message body content sentence tweet utterance document post "
        "verbatim feedback complaint article abstract description question "
        "текст отзыв сообщение комментарий texte texto kommentar 文本 内容 テキスト",
        "title subject headline summary query note notes phrase name",
    )
)
_TITLES = {"title", "subject", "headline", "summary"}
_ID_WORDS = {"id", "uuid", "guid"}
_GROUP_WORDS = frozenset(
    word
    for line in (
        "author user customer client account company patient speaker reviewer writer product film",
        "movie item book thread conversation session",
    )
    for word in line.split()
)

_DATE = re.compile(r"\d{4}[-/.]\d\d?[-/.]\d\d?([T ].*)?|\d\d?[-/.]\d\d?[-/.]\d{2,4}(\s.*)?")
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?%?")
_DECIMAL = re.compile(r"[-+]?\d*[.,]\d*[1-9]\d*([eE][-+]?\d+)?")
_ADDRESS = re.compile(r"(https?://|www\.)\S+|\S+@\S+\.\w+")
_CODE = re.compile(r"[\x21-\x7e]*\d[\x21-\x7e]*")

_MOST_CLASSES = 1000
_FEW_VALUES = 20  # so many may be classes in a file of any size
_MAX_LABEL_CHARS, _MAX_LABEL_WORDS = 60, 6
_MOST = 0.8


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: in the file.
        values: of a sample of rows, as text; without those that are missing or blank.
        num_rows: of the sample.
        is_text: whether most values are text rather than numbers, lists and the like.
        is_nested: whether some are lists.
    """

    name: str
    values: tuple[str, ...]
    num_rows: int
    is_text: bool
    is_nested: bool

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> Column:
        """A column by the values of a sample of rows."""
        present = [v for v in values if v is not None and v == v]  # noqa: PLR0124 - all but NaN
        num_texts = sum(isinstance(value, str | bytes) for value in present)
        texts = (shown for value in present if (shown := _as_text(value).strip()))
        return cls(
            name,
            tuple(texts),
            len(values),
            is_text=2 * num_texts > len(present),
            is_nested=any(isinstance(value, list | tuple | dict) for value in present),
        )

    @cached_property
    def num_different(self) -> int:
        """Different values."""
        return len(set(self.values))

    @cached_property
    def mean_chars(self) -> float:
        """Characters of a value."""
        return sum(map(len, self.values)) / max(1, len(self.values))

    @cached_property
    def mean_words(self) -> float:
        """Words of a value, between blanks."""
        return sum(len(value.split()) for value in self.values) / max(1, len(self.values))

    def mostly(self, pattern: re.Pattern[str]) -> bool:
        """Whether most values are of a form."""
        matching = sum(pattern.fullmatch(value) is not None for value in self.values)
        return bool(self.values) and matching >= _MOST * len(self.values)

    def rank(self, words: Sequence[Iterable[str]]) -> int:
        """How sure the name is, by words in it: the number of sets for the first, 0 for none."""
        parts = set(re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name).lower()))
        return next((len(words) - n for n, each in enumerate(words) if parts & set(each)), 0)

    @property
    def may_be_label(self) -> bool:
        """Whether the values may be classes."""
        most = len(self.values) / (2 if self.rank(LABEL_WORDS) else 3)
        is_few = self.num_different <= most or self.num_different <= min(_FEW_VALUES, most * 2)
        return (
            2 <= self.num_different <= _MOST_CLASSES
            and is_few
            and not self.is_nested
            and (2 * len(self.values) >= self.num_rows or self.rank(LABEL_WORDS) > 0)
            and self.mean_chars <= _MAX_LABEL_CHARS
            and self.mean_words <= _MAX_LABEL_WORDS
            and not self.mostly(_DATE)
            and not self.mostly(_ADDRESS)
            and (self.num_different <= _FEW_VALUES or not self.mostly(_DECIMAL))
        )

    @property
    def may_be_text(self) -> bool:
        """Whether the values may be texts to classify."""
        return (
            self.is_text
            and self.num_different >= 2
            and not any(map(self.mostly, (_DATE, _NUMBER, _ADDRESS)))
            and (self.rank(TEXT_WORDS) > 0 or not self.mostly(_CODE))
        )

    @property
    def may_be_id(self) -> bool:
        """Whether name and values may be those of an id: all of them present and different."""
        return (
            self.rank([_ID_WORDS]) > 0
            and not self.is_nested
            and self.num_different == self.num_rows
        )

    @property
    def may_be_group(self) -> bool:
        """Whether rows may have a value in common that is no class, such as their author."""
        return (
            self.rank([_GROUP_WORDS]) > 0
            and not self.is_nested
            and 2 < self.num_different < _MOST * len(self.values)
        )


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are.

    Attributes:
        texts: the columns whose texts together are the text.
        label: the column with the classes.
        id: a column that seems to hold ids.
        other_texts: columns that may hold the text as well, the likeliest first.
        other_labels: columns that may hold the classes as well.
        groups: columns that may tell which rows belong together.
    """

    texts: tuple[str, ...]
    label: str
    id: str | None = None
    other_texts: tuple[str, ...] = ()
    other_labels: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def roles_of(
    rows: Sequence[Mapping[str, Any]],
    *,
    where: str,
    texts: Sequence[str] = (),
    label: str | None = None,
) -> Roles:
    """Finds out what the columns of a table are.

    Args:
        rows: a sample.
        where: the file, for errors.
        texts: the columns of the text, if a person named them.
        label: the column of the label, if a person named it.

    Raises:
        DataError: no column can hold texts or classes, or a named one is not there.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    # An experiment could not name a column without a name.
    named = filter(None, names)
    columns = [Column.of(name, [row.get(name) for row in rows]) for name in named]
    own_texts = [_named(name, names, flag="--text", where=where) for name in texts]
    own_label = None if label is None else _named(label, names, flag="--label", where=where)
    labels = _labels(columns, taken=own_texts)
    if own_label is None and not labels:
        # Classes that all differ in a few rows, or one class: worth a reason of its own.
        raise _no_label(columns, where=where)
    chosen_label = own_label or labels[0]
    found = _texts(columns, taken=[chosen_label])
    if not own_texts and not found:
        raise DataError(
            f"a column must hold texts, but none of {shown_names(names)} does",
            where=where,
            remedy="name it by --text COLUMN",
        )
    ids = [c.name for c in columns if c.may_be_id and c.name not in (*own_texts, chosen_label)]
    chosen = tuple(own_texts) or _parts(found)
    return Roles(
        texts=chosen,
        label=chosen_label,
        id=next((name for name in ids if name not in chosen), None),
        other_texts=() if own_texts else tuple(c.name for c in found if c.name not in chosen),
        other_labels=() if own_label else tuple(n for n in labels[1:] if n not in chosen),
        groups=tuple(
            c.name for c in columns if c.may_be_group and c.name not in (*chosen, chosen_label)
        ),
    )


def _named(name: str, names: Sequence[str], *, flag: str, where: str) -> str:
    found = columns_named(name, names)
    if len(found) != 1:
        raise DataError(
            f"there is no column {name!r}; the columns are {shown_names(names)}",
            where=where,
            remedy=f"give {flag} one of them",
        )
    return names[found[0]]


def _labels(columns: Sequence[Column], *, taken: Sequence[str]) -> list[str]:
    """Those that may hold the classes, the likeliest first.

    Names count most; then few values, and the end of the file.
    """
    # A column that is longer than others by far is a text with repetitions.
    may_be = [column for column in columns if column.may_be_label and column.name not in taken]
    texts = [column for column in columns if column.may_be_text and column not in may_be]
    if not texts and len(may_be) > 1 and not taken:
        longest = max(may_be, key=lambda column: (column.is_text, column.mean_chars))
        may_be.remove(longest)

    def unlikely(item: tuple[int, Column]) -> tuple[int, bool, bool, int]:
        number, column = item
        is_number_of_one = column.rank([_ID_WORDS]) > 0
        return (
            -column.rank(LABEL_WORDS),
            is_number_of_one,
            column.num_different > _FEW_VALUES,
            -number,
        )

    ordered = sorted(enumerate(may_be), key=unlikely)
    return [column.name for _, column in ordered]


def _texts(columns: Sequence[Column], *, taken: Sequence[str]) -> list[Column]:
    """Those that may hold the text, the likeliest first."""
    may_be = [column for column in columns if column.may_be_text and column.name not in taken]
    known = [column for column in may_be if column.rank(TEXT_WORDS)]
    # Without a telling name, classes of another kind are no texts, if there is something longer.
    rest = [column for column in may_be if column not in known and not column.may_be_label]
    longest = sorted(known or rest or may_be, key=lambda column: -column.mean_chars)
    return longest + sorted(
        (c for c in rest if c not in longest and c.mean_words >= 3), key=lambda c: -c.mean_chars
    )


def _parts(found: Sequence[Column]) -> tuple[str, ...]:
    """The column of the text; with a title, both."""
    best = found[0]
    titles = [c for c in found[1:] if c.rank([_TITLES]) and c.mean_words >= 2]
    return (titles[0].name, best.name) if titles and best.rank(TEXT_WORDS) == 2 else (best.name,)


def _no_label(columns: Sequence[Column], *, where: str) -> DataError:
    for column in sorted(columns, key=lambda c: -c.rank(LABEL_WORDS)):
        if column.num_different == 1 and column.rank(LABEL_WORDS):
            return DataError(
                f"the rows must hold at least two classes, but column {column.name!r} is "
                f"{column.values[0]!r} in each",
                where=where,
                remedy="give rows of all classes, or name another column by --label COLUMN",
            )
    return DataError(
        "a column must hold the classes, a few values that repeat, but none of "
        f"{shown_names([column.name for column in columns])} does",
        where=where,
        remedy="name it by --label COLUMN, or add one to the rows",
    )
