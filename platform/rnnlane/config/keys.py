"""The keys of an experiment by their dotted names."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.section import Section
from rnnlane.config.sources import SOURCES, SourceConfig, source_class
from rnnlane.config.yaml_source import KeyPath


@functools.cache
def dotted_fields(model: type[Section] = ExperimentConfig) -> dict[str, FieldInfo | None]:
    """All dotted keys of an experiment, without those of its source; None for a section."""
    fields: dict[str, FieldInfo | None] = {}
    for name, field in model.model_fields.items():
        models = (each for each in _members(field.annotation) if issubclass(each, Section))
        inner = None if name == "source" else next(models, None)
        if inner is not None:
            fields[name] = None
            fields |= {f"{name}.{key}": value for key, value in dotted_fields(inner).items()}
        else:
            fields[name] = field
    return fields


def keys_beside(path: KeyPath) -> list[str]:
    """The keys that are valid where the last part of ``path`` is."""
    annotations: list[Any] = [ExperimentConfig]
    for part in path[:-1]:
        annotations = [inner for outer in annotations for inner in _inside(outer, part)]
    models = [model for annotation in annotations for model in _members(annotation)]
    return sorted({key for model in models for key in model.model_fields})


def _inside(annotation: Any, key: str) -> list[Any]:
    """The annotations of a key in a section or a mapping."""
    if get_origin(annotation) is dict:
        return [get_args(annotation)[1]]
    return [
        model.model_fields[key].annotation
        for model in _members(annotation)
        if key in model.model_fields
    ]


def _members(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value of this annotation can be."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if annotation is SourceConfig:
        return [source_class(kind) for kind in SOURCES]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [model for part in get_args(annotation) for model in _members(part)]
    return []
