"""The address of prepared data: a digest of all that its content depends on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rnnlane.config import ExperimentConfig, fingerprint
from rnnlane.data.prepare.purpose import CLASSIFICATION, Purpose
from rnnlane.data.prepare.text import load_stop_words
from rnnlane.data.sources.base import Source, unlabeled_source_of
from rnnlane.data.storage import joined

# Modules whose code decides what prepared data holds, beside those of the source's class: after a
# change to one, data is prepared again at another address.
SHAPING_MODULES = (
    "prepare/blocks",
    "prepare/chunks",
    "prepare/described",
    "prepare/grouping",
    "prepare/groups",
    "prepare/keys",
    "prepare/labels",
    "prepare/limits",
    "prepare/merging",
    "prepare/pipeline",
    "prepare/placed",
    "prepare/prepared",
    "prepare/purpose",
    "prepare/row_selection",
    "prepare/splits",
    "prepare/text",
    "prepare/unlabeled",
    "prepare/vocabulary",
    "sources/files",
    "sources/row_tables",
    "sources/rows",
    "sources/stream",
    "sources/swallowed_rows",
    "../config/class_names",
)


@dataclass(frozen=True)
class Identity:
    """What prepared data depends on, and nothing else.

    Attributes:
        source: digest of the source's bytes.
        settings: the data, text and seed sections without paths; stop words as a digest.
        code: digest of the code that shapes the result.
    """

    source: str
    settings: dict[str, Any]
    code: str

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits."""
        return fingerprint({"source": self.source, "code": self.code, **self.settings})

    def path(self, storage: str) -> str:
        """Folder or URI of the prepared data below a storage."""
        return joined(storage, "prepared", self.fingerprint)


def identify(config: ExperimentConfig, purpose: Purpose = CLASSIFICATION) -> Identity:
    """Digests the sources, the settings and the code.

    Raises:
        DataError: the source is missing or cannot be read.
        ConfigError: the file of stop words cannot be read.
    """
    sources = [source for source, _ in purpose.reads(config.data)]
    settings = _settings(config, purpose)
    return Identity(sources[0].fingerprint(), settings, code_version(*sources))


def prepared_path(
    config: ExperimentConfig, *, storage: str, purpose: Purpose = CLASSIFICATION
) -> str:
    """Where an experiment's prepared data is or will be: ``<storage>/prepared/<fingerprint>``.

    Args:
        config: the experiment.
        storage: local folder or pyarrow URI.
        purpose: what it is for.

    Raises:
        DataError: the source is missing or cannot be read.
        ConfigError: the file of stop words cannot be read.
    """
    return identify(config, purpose).path(storage)


def _settings(config: ExperimentConfig, purpose: Purpose) -> dict[str, Any]:
    paths = set(config.data.source.location_keys)
    data = config.data.model_dump(
        mode="json", exclude={"source": paths, "unlabeled": True, "feed": True}
    )
    stop_words = sorted(load_stop_words(config.text.stop_words))
    text = config.text.model_dump(mode="json")
    text["stop_words"] = fingerprint(stop_words) if stop_words else "off"
    return {"data": data, "text": text, "seed": config.seed, **_of_purpose(config, purpose)}


def _of_purpose(config: ExperimentConfig, purpose: Purpose) -> dict[str, Any]:
    """What another purpose than classification adds."""
    added: dict[str, Any] = {}
    if purpose.vocabulary is not None:
        added["vocabulary"] = fingerprint(purpose.vocabulary)
    if purpose.reads_unlabeled:
        name = "with_unlabeled" if purpose.reads_test else "pretraining"
        added[name] = None
        unlabeled = unlabeled_source_of(config.data)
        if unlabeled is not None:
            paths = set(unlabeled.location_keys)
            assert config.data.unlabeled is not None
            added[name] = {
                **config.data.unlabeled.model_dump(mode="json", exclude={"source": paths}),
                "fingerprint": unlabeled.fingerprint(),
            }
    return added


def code_version(*sources: Source) -> str:
    """Digest of the shaping modules and of the versions of the tokenizers and of Unicode."""
    hasher = hashlib.sha256()
    for path in _shaping_files(*sources):
        hasher.update(path.read_bytes())
    packages = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("nltk", "regex"))
    versions = f"{packages} unicode {unicodedata.unidata_version}"
    hasher.update(versions.encode())
    return hasher.hexdigest()[:16]


def _shaping_files(*sources: Source) -> list[Path]:
    """SHAPING_MODULES, and the modules of the sources' classes and of their base classes."""
    folder = Path(__file__).parents[1]
    classes = [base for one in sources for base in type(one).__mro__ if issubclass(base, Source)]
    return [
        *(folder / f"{name}.py" for name in SHAPING_MODULES),
        *dict.fromkeys(Path(inspect.getfile(base)) for base in classes),
    ]
