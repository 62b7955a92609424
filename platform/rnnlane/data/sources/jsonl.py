"""Files of JSON lines."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from rnnlane.config.data import Columns
from rnnlane.data.sources.column_files import joined_text, not_text, shown_names
from rnnlane.data.sources.files import SourceFile
from rnnlane.data.sources.rows import RawRow, class_name_of, group_of, id_of
from rnnlane.data.sources.text_files import COMPRESSED, TextFileSource, encoded
from rnnlane.data.storage import StoragePath
from rnnlane.errors import DataError

_MAX_KEYS = 100


class JsonlSource(TextFileSource):
    """Files of one JSON object a line; ``body.text`` is the key ``text`` in the object ``body``."""

    kind: Literal["jsonl"]

    file_names: ClassVar[re.Pattern[str]] = re.compile(
        r"\.(?:jsonl|ndjson|json)" + COMPRESSED, re.IGNORECASE
    )

    def rows_of(self, file: StoragePath, columns: Columns) -> Iterator[RawRow]:
        """The rows of one file; a missing key is NULL, and blank lines are skipped."""
        for where, record in self._records(file):
            yield RawRow(
                encoded(_text(record, columns.texts, where=where)),
                _name(record, columns.label, class_name_of, where=where),
                _name(record, columns.id, id_of, where=where),
                group=_name(record, columns.group, group_of, where=where),
            )

    def records_of(self, file: StoragePath) -> Iterator[Mapping[str, Any]]:
        """See :meth:`ColumnFileSource.records_of`; ``body.text`` names a key of an object."""
        for _, record in self._records(file):
            yield _flat(record)

    def check_file(self, file: SourceFile, columns: Columns, *, max_repaired: float) -> int:
        """Also finds each key in some line: in a row, a missing key is NULL."""
        num_rows = super().check_file(file, columns, max_repaired=max_repaired)
        if not num_rows:
            return 0
        needed = dict.fromkeys(columns.texts, "text")
        named = {"label": columns.label, "id": columns.id, "group": columns.group}
        needed |= {name: role for role, name in named.items() if name is not None}
        keys: dict[str, None] = {}
        for _, record in self._records(file.path):
            needed = {n: role for n, role in needed.items() if value_at(record, n) is None}
            if not needed:
                break
            if len(keys) < _MAX_KEYS:
                keys.update(dict.fromkeys(_keys(record)))
        for name, role in needed.items():
            if name not in keys:
                raise _no_such_key(name, list(keys), role=role, where=str(file.path))
        return num_rows

    def _records(self, file: StoragePath) -> Iterator[tuple[str, dict[str, Any]]]:
        """The objects of a file, each with its place."""
        number, name = 0, str(file)
        for number, line in enumerate(self.lines(file), start=1):
            if not line.isspace():
                where = f"{name}:{number}"
                yield where, _parsed_object(line, where=where)
        if not number:
            message = "a jsonl file must hold at least one line, but is empty"
            raise DataError(message, where=name)


def value_at(record: dict[str, Any], name: str) -> Any:
    """The value of a key, or of a dotted path of keys; a key that has the very name wins."""
    value = record.get(name)
    if value is not None or "." not in name or name in record:
        return value
    outer, _, inner = name.partition(".")
    value = record.get(outer)
    return value_at(value, inner) if isinstance(value, dict) else None


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        inner = _flat(value) if isinstance(value, dict) else {}
        flat |= {f"{key}.{name}": each for name, each in inner.items()} if inner else {key: value}
    return flat


def _text(record: dict[str, Any], names: Sequence[str], *, where: str) -> str | None:
    parts = [value_at(record, name) for name in names]
    for n, part in enumerate(parts):
        if not isinstance(part, str) and part is not None:
            if part == part:  # noqa: PLR0124 - all but NaN
                raise not_text(names[n], type(part).__name__, where=where)
            parts[n] = None
    return parts[0] if len(parts) == 1 else joined_text(parts, "\n")


def _name(
    record: dict[str, Any], key: str | None, name_of: Callable[..., str | None], *, where: str
) -> str | None:
    """The label, id or group that a row has by a key, if there is one."""
    return None if key is None else name_of(value_at(record, key), where=f"{where} {key}")


def _keys(record: dict[str, Any]) -> Iterator[str]:
    for key, value in record.items():
        yield key
        if isinstance(value, dict):
            yield from (f"{key}.{inner}" for inner in value)


def _no_such_key(name: str, keys: list[str], *, role: str, where: str) -> DataError:
    near = difflib.get_close_matches(name, keys, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return DataError(
        f"no line has the key {name!r}; the keys are {shown_names(keys)}",
        where=where,
        remedy=f"{hint}set data.columns.{role}",
    )


def _parsed_object(line: str, *, where: str) -> dict[str, Any]:
    remedy = "put one JSON object on each line"
    if not line[:1].isascii():
        remedy = "set data.source.encoding"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error).split(": line")[0]
        raise DataError(f"not valid JSON: {reason}", where=where, remedy=remedy) from None
    if not isinstance(record, dict):
        message = f"a line must hold a JSON object, but got {type(record).__name__}"
        raise DataError(message, where=where, remedy=remedy)
    return record
