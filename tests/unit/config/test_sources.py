from __future__ import annotations

import subprocess
import sys

import pytest

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.config.sources import SOURCES, source_class
from rnnlane.data.sources.base import Source
from rnnlane.errors import ConfigError


def refusal(source: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        experiment_from_mapping({"name": "x", "data": {"source": source}})
    return caught.value


@pytest.mark.parametrize("kind", SOURCES)
def test_a_registered_class_is_a_source_of_its_kind(kind: str) -> None:
    loaded = source_class(kind)
    assert issubclass(loaded, Source)
    assert loaded.model_fields["kind"].annotation.__args__ == (kind,)
    assert set(loaded.location_keys) <= set(loaded.model_fields)


def test_a_source_without_a_kind_or_of_an_unknown_one_is_refused_with_the_known_ones() -> None:
    assert refusal({}).message == "a source needs its `kind`"
    assert refusal({}).remedy == "add kind: one of imdb, csv, jsonl, parquet, text, generated"
    expected = (
        "kind must be one of 'imdb', 'csv', 'jsonl', 'parquet', 'text', 'generated', but got 'x'"
    )
    assert refusal({"kind": "x"}).message == expected
    assert "'['csv']'" in refusal({"kind": ["csv"]}).message
    assert refusal(3).message.endswith("but got 3")
    assert refusal({"kind": "csv", "path": "x", "delimiter": ""}).where.endswith(
        "data.source.delimiter"
    )


def test_the_schema_holds_every_kind() -> None:
    schema = ExperimentConfig.model_json_schema()
    source = schema["$defs"]["DataConfig"]["properties"]["source"]
    assert set(source["discriminator"]["mapping"]) == set(SOURCES)
    assert len(source["oneOf"]) == len(SOURCES)


@pytest.mark.parametrize("kind", SOURCES)
def test_to_validate_a_source_imports_nothing_heavy(kind: str) -> None:
    source = {"kind": kind, **({"path": "x"} if kind != "generated" else {})}
    data = {"source": source}
    if kind == "text":
        data = {"source": {"kind": "generated"}, "unlabeled": data}
    code = (
        "import sys; from rnnlane.config import experiment_from_mapping as read;"
        f"read({{'name': 'x', 'data': {data!r}}});"
        "heavy = {'pyarrow', 'numpy', 'ray', 'urllib.request', 'http.client'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
