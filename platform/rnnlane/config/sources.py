"""The kinds of sources, and how ``data.source`` becomes an object of the class of its kind.

A class of a source holds its settings and reads its rows, so it lives in ``rnnlane.data.sources``,
a layer above this one. The registry therefore names classes, and a class is imported when an
experiment names its kind.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, GetJsonSchemaHandler, SerializeAsAny
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from rnnlane.config.section import Section

SOURCES = {
    "imdb": "rnnlane.data.sources.imdb:ImdbSource",
    "csv": "rnnlane.data.sources.csv:CsvSource",
    "jsonl": "rnnlane.data.sources.jsonl:JsonlSource",
    "parquet": "rnnlane.data.sources.parquet:ParquetSource",
    "text": "rnnlane.data.sources.plain_text:PlainTextSource",
    "generated": "rnnlane.data.sources.generated:GeneratedSource",
}


class SourceConfig(Section):
    """The settings that an experiment reads of any source.

    Attributes:
        location_keys: the settings that hold a path or a URI.
        has_labels: whether rows can have a class; false of kinds for ``data.unlabeled`` alone.
    """

    kind: str
    location_keys: ClassVar[tuple[str, ...]] = ()
    has_labels: ClassVar[bool] = True

    @property
    def locations(self) -> dict[str, str]:
        """The paths and URIs that are set, by their keys."""
        values = {key: getattr(self, key) for key in self.location_keys}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def has_official_test(self) -> bool:
        """Whether some of the rows belong to the source's own test split."""
        return False


def source_class(kind: str) -> type[SourceConfig]:
    """The class of a registered kind; imports its module."""
    module, _, name = SOURCES[kind].partition(":")
    loaded: type[SourceConfig] = getattr(import_module(module), name)
    return loaded


def _validated(value: Any) -> SourceConfig:
    """The source that plain values describe; fails as a union of all classes would."""
    if isinstance(value, SourceConfig):
        return value
    if not isinstance(value, dict):
        raise PydanticKnownError("model_attributes_type")
    if "kind" not in value:
        raise PydanticKnownError("union_tag_not_found", {"discriminator": "'kind'"})
    kind = value["kind"]
    if not isinstance(kind, str) or kind not in SOURCES:
        context = {
            "discriminator": "'kind'",
            "tag": str(kind).encode("ascii", "backslashreplace").decode(),
            "expected_tags": ", ".join(map(repr, SOURCES)),
        }
        raise PydanticKnownError("union_tag_invalid", context)
    return source_class(kind).model_validate(value)


class _SchemaOfAllKinds:
    @staticmethod
    def __get_pydantic_json_schema__(_: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        choices = {kind: source_class(kind).__pydantic_core_schema__ for kind in SOURCES}
        return handler(core_schema.tagged_union_schema(choices, discriminator="kind"))


AnySource = Annotated[
    SerializeAsAny[SourceConfig], BeforeValidator(_validated), _SchemaOfAllKinds()
]
