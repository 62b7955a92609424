"""Tokens <-> ids: counted on the train split, frozen, and stored as readable text."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rnnlane.config.text import VocabularyConfig
from rnnlane.data.prepare.keys import WordKeys, word_keys
from rnnlane.errors import DataError

PAD_ID, UNKNOWN_ID = 0, 1
PAD_TOKEN, UNKNOWN_TOKEN = "<pad>", "<unk>"
_SPECIAL = (PAD_TOKEN, UNKNOWN_TOKEN)

Keep = Literal["head", "tail"]

# Rows of tables of counts that are worth a sum.
_LEAST_SUMMED = 1_000_000


class EncodedText(NamedTuple):
    """One text.

    Attributes:
        token_ids: int32 [T].
        unknown_keys: uint32 [num_unknown], the keys of the tokens that have no id of their own, in
            their order; see :func:`keys.word_keys`.
    """

    token_ids: npt.NDArray[np.int32]
    unknown_keys: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that have an id of their own; every other one shares ``UNKNOWN_ID``.

    No text can produce ``PAD_ID``: a token that happens to read ``<pad>`` is unknown.

    Attributes:
        tokens: by id: padding, unknown, then by falling count; equal counts by code point.
        counts: times each occurred in train; padding 0, for unknown the sum over all without an id.
    """

    tokens: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def fit(cls, counts: Mapping[str, int], config: VocabularyConfig) -> Vocabulary:
        """The most frequent tokens.

        Args:
            counts: times each token occurs in the train split.
            config: how many are kept, and from which count on.

        Raises:
            DataError: no token is frequent enough.
        """
        frequent = [
            (token, count)
            for token, count in counts.items()
            if count >= config.min_count and token not in _SPECIAL
        ]
        if not frequent:
            raise DataError(
                f"a token must occur at least {config.min_count} times in train, but none of the "
                f"{len(counts)} different tokens does",
                where="text.vocabulary.min_count",
                remedy="lower min_count, give more rows, or check the text column",
            )
        frequent.sort(key=lambda entry: (-entry[1], entry[0]))
        kept = frequent[: config.max_size - len(_SPECIAL)]
        unknown = sum(counts.values()) - sum(count for _, count in kept)
        return cls(
            tokens=_SPECIAL + tuple(token for token, _ in kept),
            counts=(0, unknown, *(count for _, count in kept)),
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Sequence[str], *, max_length: int, keep: Keep) -> EncodedText:
        """Encodes one text.

        Args:
            tokens: the output of the tokenizer.
            max_length: most tokens kept, at least 1.
            keep: which end of a longer text is kept.
        """
        kept = kept_tokens(tokens, max_length=max_length, keep=keep)
        ids = np.array([self._ids.get(token, UNKNOWN_ID) for token in kept], dtype=np.int32)
        unknown = [kept[place] for place in np.flatnonzero(ids == UNKNOWN_ID).tolist()]
        return EncodedText(ids, word_keys(unknown))

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The token of each id; padding and unknown as ``<pad>`` and ``<unk>``."""
        return [self.tokens[token_id] for token_id in ids]

    def encode_column(self, tokens: pa.ListArray) -> pa.ListArray:
        """Encodes a column of texts at once, each as :meth:`encode` does without a cut.

        Args:
            tokens: list<string> [N]; a null row counts as empty.

        Returns:
            list<int32> [N].
        """
        lengths = pc.fill_null(pc.list_value_length(tokens), 0).to_numpy()
        indices = pc.index_in(_flat(tokens), value_set=self._ordinary)
        ids = pc.fill_null(pc.add(indices, pa.scalar(len(_SPECIAL), pa.int32())), UNKNOWN_ID)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), ids)

    def unknown_keys_column(self, tokens: pa.ListArray, token_ids: pa.ListArray) -> pa.ListArray:
        """The keys of those tokens that have no id of their own, in their order.

        Args:
            tokens: list<string> [N]; a null row counts as empty.
            token_ids: list<int32> [N], as :meth:`encode_column` returned them.

        Returns:
            list<uint32> [N].
        """
        is_unknown = pc.equal(token_ids.values, UNKNOWN_ID)
        words = _flat(tokens).filter(is_unknown).dictionary_encode()
        keys = word_keys(words.dictionary.to_pylist())[words.indices.to_numpy()]
        before = np.concatenate([[0], np.cumsum(is_unknown.to_numpy(zero_copy_only=False))])
        offsets = before[token_ids.offsets.to_numpy()].astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(keys))

    @functools.cached_property
    def word_keys(self) -> WordKeys:
        """The key of each token: uint32 [V]; those of padding and unknown mean nothing."""
        return word_keys(self.tokens)

    def to_jsonl(self) -> str:
        """One line ``{"id": 2, "token": "the", "count": 288000}`` for each id, in order."""
        return "".join(
            json.dumps({"id": token_id, "token": token, "count": count}, ensure_ascii=False) + "\n"
            for token_id, (token, count) in enumerate(zip(self.tokens, self.counts, strict=True))
        )

    @classmethod
    def from_jsonl(cls, text: str) -> Vocabulary:
        """Reads what :meth:`to_jsonl` wrote.

        Raises:
            DataError: a line is damaged, missing, repeated or out of order.
        """
        lines = text.removesuffix("\n").split("\n")
        entries = [_parse_entry(line, token_id) for token_id, line in enumerate(lines)]
        tokens = tuple(entry.token for entry in entries)
        if tokens[: len(_SPECIAL)] != _SPECIAL:
            raise _damaged(
                f"the first tokens must be {list(_SPECIAL)}, but got {list(tokens[:2])}", line=1
            )
        seen: set[str] = set()
        for number, token in enumerate(tokens, start=1):
            if token in seen:
                raise _damaged(f"a token may appear once, but {token!r} is repeated", line=number)
            seen.add(token)
        return cls(tokens=tokens, counts=tuple(entry.count for entry in entries))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {
            token: token_id
            for token_id, token in enumerate(self.tokens)
            if token_id >= len(_SPECIAL)
        }

    @functools.cached_property
    def _ordinary(self) -> pa.StringArray:
        return pa.array(self.tokens[len(_SPECIAL) :], type=pa.string())


def kept_tokens(tokens: Sequence[str], *, max_length: int, keep: Keep) -> Sequence[str]:
    """The ``max_length`` first (head) or last (tail) tokens."""
    return tokens[:max_length] if keep == "head" else tokens[-max_length:]


def count_tokens(tokens: pa.ListArray) -> pa.Table:
    """How often each token occurs in a column of token lists.

    Args:
        tokens: list<string> [N].

    Returns:
        Columns token (string) and count (int64), a row for each different token.
    """
    values, counts = _flat(tokens).value_counts().flatten()
    return pa.table({"token": values, "count": counts})


def merge_counts(tables: Iterable[pa.Table]) -> dict[str, int]:
    """The sum of several tables of :func:`count_tokens`, sorted by token.

    They are summed while they come: in memory are the different tokens, and about as many rows of
    tables.
    """
    summed = pa.table({"token": pa.array([], pa.string()), "count": pa.array([], pa.int64())})
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.num_rows for one in waiting) > max(_LEAST_SUMMED, summed.num_rows):
            summed, waiting = _summed([summed, *waiting]), []
    summed = _summed([summed, *waiting]).sort_by("token")
    return dict(zip(summed["token"].to_pylist(), summed["count"].to_pylist(), strict=True))


def _summed(tables: Sequence[pa.Table]) -> pa.Table:
    sums = pa.concat_tables(tables).group_by("token").aggregate([("count", "sum")])
    return pa.table({"token": sums["token"], "count": sums["count_sum"]})


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: int
    token: str
    count: Annotated[int, Field(ge=0)]


def _parse_entry(line: str, token_id: int) -> _Entry:
    try:
        entry = _Entry.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise _damaged(f"{key}: {problem['msg']}".removeprefix(": "), line=token_id + 1) from None
    if entry.id != token_id:
        raise _damaged(f"ids must rise by one from 0, but got {entry.id}", line=token_id + 1)
    return entry


def _damaged(message: str, *, line: int) -> DataError:
    return DataError(
        message,
        where=f"vocabulary line {line}",
        remedy="the file is damaged; remove it and prepare the data again",
    )


def _flat(tokens: pa.ListArray) -> pa.StringArray:
    """The strings of all rows; the cast gives rows that are all empty a type."""
    return tokens.flatten().cast(pa.string())
