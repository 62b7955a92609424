"""The base class and the value types of the sections of an experiment."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
# 30 years; the clocks of threads and sockets overflow some way above it.
Seconds = Annotated[float, Field(gt=0.0, le=1e9)]
ValMetric = Literal["val/loss", "val/accuracy", "val/macro_f1", "val/roc_auc"]

_SECRET_OPTION = re.compile(r"secret|passw|token|key|credential|sig(nature)?$", re.IGNORECASE)


def _without_credentials(address: str) -> str:
    # A secret may contain slashes, so the whole path is searched; options may be URIs themselves.
    names = [option.partition("=")[0] for option in address.partition("?")[2].split("&")]
    is_uri = "://" in address
    if is_uri and ("@" in address or any(_SECRET_OPTION.search(name) for name in names)):
        raise ValueError(
            "an address may not hold credentials, because it is logged; "
            "give them in the environment, such as AWS_ACCESS_KEY_ID"
        )
    return address


def _printable(address: str) -> str:
    """A path or a URI that can be opened, and shown in one line."""
    if not address.strip():
        raise ValueError(f"must name a file or a folder, but got {address!r}")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in address):
        raise ValueError(f"must be UTF-8 without control characters, but got {address!r}")
    return address


Location = Annotated[str, AfterValidator(_printable), AfterValidator(_without_credentials)]


def _column_name(value: Any) -> str:
    # YAML reads a name such as 2024 as a number.
    if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        return str(value)
    raise ValueError(f"must be the name of a column, but got {value!r}")


def _column_names(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, list | tuple) and value:
        return tuple(map(_column_name, value))
    return _column_name(value)


ColumnName = Annotated[str, BeforeValidator(_column_name, json_schema_input_type=str | int)]
# None comes of code alone, for rows that are read without the column: no file can say so.
ColumnNameOrNone = Annotated[
    str | None, BeforeValidator(_column_name, json_schema_input_type=str | int)
]
ColumnNames = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_column_names, json_schema_input_type=str | int | list[str | int]),
]

# What torch, numpy, scikit-learn and Optuna all take as a size, a count or a seed.
LARGEST_INT = 2**31 - 1


class BrokenRulesError(ValueError):
    """Several rules between the keys of a section that are broken at once.

    Attributes:
        messages: a sentence for each.
    """

    def __init__(self, messages: Sequence[str]):
        super().__init__("; ".join(messages))
        self.messages = tuple(messages)


def refuse_if(rules: Mapping[str, bool]) -> None:
    """Raises :class:`BrokenRulesError` with the sentences of those rules that are broken."""
    broken = [message for message, is_broken in rules.items() if is_broken]
    if broken:
        raise BrokenRulesError(broken)


class Section(BaseModel):
    """A frozen part of an experiment; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_plain(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuses true for 1, and whole numbers that some library below could not hold."""
        kinds = _scalars(cls.model_fields[str(info.field_name)].annotation)
        if not kinds & {int, float} or not isinstance(value, int | float):
            return value
        if isinstance(value, bool) and bool not in kinds:
            raise ValueError(f"must be a number, but got {str(value).lower()}")
        if (isinstance(value, int) or int in kinds) and abs(value) > LARGEST_INT:
            digits = str(value)
            number = digits if len(digits) <= 30 else f"{digits[:27]}..."
            raise ValueError(f"a whole number must be at most {LARGEST_INT}, but got {number}")
        return value


def _scalars(annotation: Any) -> set[Any]:
    """The plain types that a value of an annotation can have, lists and mappings left out."""
    if annotation in (bool, int, float, str):
        return {annotation}
    if get_origin(annotation) is Literal:
        return {type(value) for value in get_args(annotation)}
    if get_origin(annotation) in (tuple, list, dict):
        return set()
    return {kind for part in get_args(annotation) for kind in _scalars(part)}
