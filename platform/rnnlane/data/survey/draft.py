"""Drafts an experiment for files of labeled texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, cast

from rnnlane.config.data import Columns
from rnnlane.config.load import experiment_from_mapping
from rnnlane.config.yaml_source import parse_yaml
from rnnlane.data.prepare.labels import check_label_column, too_small
from rnnlane.data.sources.column_files import ColumnFileSource
from rnnlane.data.sources.files import SourceFile
from rnnlane.data.survey.columns import Roles, roles_of
from rnnlane.data.survey.encoding import Encoding, encoding_of
from rnnlane.data.survey.files import files_to_survey
from rnnlane.data.survey.findings import findings_of
from rnnlane.data.survey.layout import DELIMITERS, Layout, layouts_of
from rnnlane.data.survey.rows import Tally, sampled_records, tally_of
from rnnlane.data.survey.survey import NEEDED, Survey
from rnnlane.data.survey.yaml_text import yaml_text
from rnnlane.errors import DataError, MistakesError, RnnlaneError
from rnnlane.records.draft import ExperimentDraft, Hints

_MOST_UNUSABLE = 0.5
_MAX_NAME = 80


def default_name(location: str) -> str:
    """The name of the experiment for files: that of the file or the folder, as far as it may be."""
    stem = PurePosixPath(location.rstrip("/")).name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:_MAX_NAME] or "experiment"


def draft_experiment(location: str, *, name: str, hints: Hints) -> ExperimentDraft:
    """Finds out what files of labeled texts are like, and drafts an experiment for them.

    Args:
        location: a file, a folder, a glob or a URI; csv, jsonl or Parquet.
        name: of the experiment.
        hints: what a person says of it.

    Raises:
        DataError: there is no such file, it cannot be read, or it holds no labeled texts.
        ConfigError: a hint is not valid.
    """
    # A name that is none is refused before the files are read.
    named = {"name": name, "data": {"source": {"kind": "generated"}}}
    experiment_from_mapping(named, origin="the experiment's")
    try:
        survey = _survey(location, hints)
        _check_rows(survey)
    except RnnlaneError as error:
        raise _in_flags(error, location) from None
    values = _experiment(survey, name)
    findings = tuple(findings_of(survey))
    text = yaml_text(values, findings)
    parsed, lines = parse_yaml(text, origin="the draft")
    config = experiment_from_mapping(parsed, origin="the draft", lines=lines)
    assert config == experiment_from_mapping(values), "the YAML must say what was meant"
    survey.source.check_first_rows(config.data.columns, max_repaired=config.data.max_repaired)
    return ExperimentDraft(config, text, findings)


def _survey(location: str, hints: Hints) -> Survey:
    kind, files = files_to_survey(location)
    given = {"delimiter": hints.delimiter, "encoding": hints.encoding, "header": hints.header}
    _source(kind, location, {key: value for key, value in given.items() if value is not None})
    encoding = None
    if kind != "parquet":
        encoding = Encoding(hints.encoding) if hints.encoding else encoding_of(files[0])
    refused: DataError | None = None
    for layout in _layouts(kind, files[0], encoding, hints):
        source = _source(kind, location, _settings(encoding, layout))
        try:
            roles = roles_of(
                sampled_records(source), where=location, texts=hints.texts, label=hints.label
            )
            roles, tally = _tallied(source, roles)
        except DataError as error:
            refused = refused or error
            continue
        return Survey(location, files, source, encoding, layout, roles, tally)
    assert refused is not None
    raise refused


def _source(kind: str, location: str, settings: Mapping[str, Any]) -> ColumnFileSource:
    values = {"name": "x", "data": {"source": {"kind": kind, "path": location, **settings}}}
    source = experiment_from_mapping(values, origin=location).data.source
    return cast(ColumnFileSource, source)


def _layouts(
    kind: str, file: SourceFile, encoding: Encoding | None, hints: Hints
) -> Iterator[Layout | None]:
    if kind != "csv":
        yield None
        return
    assert encoding is not None
    named = {word: character for character, word in DELIMITERS.items()}
    delimiter = None if hints.delimiter is None else named.get(hints.delimiter, hints.delimiter)
    yield from layouts_of(file, encoding=encoding.name, delimiter=delimiter, header=hints.header)


def _settings(encoding: Encoding | None, layout: Layout | None) -> dict[str, Any]:
    """Of ``data.source``, those that differ from their defaults."""
    settings: dict[str, Any] = {}
    if layout is not None:
        settings |= {"delimiter": DELIMITERS.get(layout.delimiter, layout.delimiter)}
        settings |= {"quoting": layout.quoting, "header": layout.header}
    if encoding is not None:
        settings |= {"encoding": encoding.name}
    defaults = {"delimiter": "comma", "quoting": "standard", "header": True, "encoding": "utf-8"}
    return {key: value for key, value in settings.items() if value != defaults[key]}


def _tallied(source: ColumnFileSource, roles: Roles) -> tuple[Roles, Tally]:
    tally = tally_of(source, _columns(roles))
    if not tally.has_distinct_ids:
        roles = replace(roles, id=None)
    return roles, tally


def _columns(roles: Roles) -> Columns:
    text = roles.texts[0] if len(roles.texts) == 1 else roles.texts
    return Columns(text=text, label=roles.label, id=roles.id)


def _check_rows(survey: Survey) -> None:
    """Refuses rows that no experiment could be made of.

    Raises:
        DataError: the labels are no classes, too few rows have one, or too few rows of it.
    """
    tally, label = survey.tally, survey.roles.label
    if survey.share_unusable > _MOST_UNUSABLE:
        raise DataError(
            f"most rows must have a text and a label, but of {tally.num_rows:,} rows "
            f"{tally.num_without_text:,} have no text and {tally.num_without_label:,} no label",
            where=survey.location,
            remedy="name other columns by --text and --label, or leave those rows out",
        )
    check_label_column(tally.classes, max_classes=1000)
    if len(tally.classes) < 2:
        only = next(iter(tally.classes), None)
        raise DataError(
            f"the rows must hold at least two classes, but column {label!r} is {only!r} in each",
            where=survey.location,
            remedy="give rows of all classes, or name another column by --label COLUMN",
        )
    if len(survey.classes) < 2:
        error = too_small(tally.different, needed=NEEDED)
        raise DataError(error.message, where=survey.location, remedy="give more rows")


# Settings of an experiment, and how `rnnlane init` is told them.
_FLAGS = {
    "data.source.header: false": "--no-header",
    "data.source.delimiter": "--delimiter",
    "data.source.encoding": "--encoding",
    "data.columns.text": "--text",
    "data.columns.label": "--label",
}


def _in_flags(error: RnnlaneError, location: str) -> RnnlaneError:
    """The error for somebody who has no experiment yet."""
    if isinstance(error, MistakesError):
        return MistakesError([_in_flags(each, location) for each in error.errors])
    where = error.where or location
    where = location if where in {"data.source", "data.columns.label"} else where
    texts = [error.message, where, error.remedy or ""]
    for setting, flag in _FLAGS.items():
        texts = [text.replace(f"{setting}: ", f"{flag} ").replace(setting, flag) for text in texts]
    return type(error)(texts[0], where=texts[1], remedy=texts[2] or None)


def _experiment(survey: Survey, name: str) -> dict[str, Any]:
    """The experiment as plain values; only what is worth a reader's look."""
    roles, tally, text = survey.roles, survey.tally, survey.text
    columns = {
        "text": roles.texts[0] if len(roles.texts) == 1 else list(roles.texts),
        "label": roles.label,
        **({} if roles.id is None else {"id": roles.id}),
    }
    data: dict[str, Any] = {
        "source": {
            "kind": survey.source.kind,
            "path": survey.location,
            **_settings(survey.encoding, survey.layout),
        },
        "columns": columns,
        "test": 0.2,
        "val": 0.1,
    }
    if survey.rare:
        data["rare_classes"] = "drop"
    if survey.share_unusable > 0.05:
        data["max_dropped"] = round(survey.share_unusable + 0.05, 2)
    training: dict[str, Any] = {
        "epochs": 12,
        "early_stopping": 3,
        "global_batch_size": _batch_size(tally),
        "clip": {"policy": "auto"},
    }
    if survey.is_unbalanced:
        training |= {"class_weights": "balanced", "metric": "val/macro_f1"}
    vocabulary = {} if text.min_count == 2 else {"vocabulary": {"min_count": text.min_count}}
    return {
        "name": name,
        "description": f"Classes of {roles.label} in {PurePosixPath(survey.location).name}.",
        "seed": 0,
        "data": data,
        "text": {"tokenizer": text.tokenizer, "max_length": text.max_length, **vocabulary},
        "model": {"cell": "lstm", "hidden_size": 64, "bidirectional": True, "pooling": "max"},
        "training": training,
    }


def _batch_size(tally: Tally) -> int:
    """So that an epoch of few rows has steps to learn from."""
    by_rows: Mapping[int, int] = {500: 8, 2_000: 16, 50_000: 32}
    return next((size for most, size in by_rows.items() if tally.num_rows <= most), 64)
