"""What is sent to a cluster with a job: rnnlane, the experiment, and the small files it names.

The folder becomes the job's working directory on every node, and the first entry of the PYTHONPATH
of all its processes, so ``rnnlane`` is importable there without being installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import yaml

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.sources.base import Source, source_of, unlabeled_source_of
from rnnlane.errors import ConfigError
from rnnlane.tracking.wheel import DISTRIBUTION, installed_metadata, package_files

LIMIT_BYTES = 64 << 20
_NUM_NAMED = 10
_FILE_KEYS: dict[str, set[str]] = {
    "text.stop_words": {"off", "english", "english_keep_negations"},
    "model.pretrained_vectors": set(),
}
# Ray leaves these out of a working directory.
_OWN_NAMES = {"rnnlane", ".git", ".venv", "venv", "__pycache__"}


@dataclass(frozen=True)
class PackedFile:
    """A file that is sent with a job.

    Attributes:
        source: its absolute path on this machine.
        target: its path in the job's working directory, with forward slashes.
        size: in bytes.
    """

    source: Path
    target: str
    size: int


def files_for(config: ExperimentConfig, *, limit_bytes: int = LIMIT_BYTES) -> list[PackedFile]:
    """The files of a job, sorted by target, without the experiment itself.

    A relative path in the experiment means a file here, which is sent and keeps its path. An
    absolute path is one of the cluster's head, where the driver reads it; it and URIs are left
    as they are.

    Raises:
        ConfigError: they are larger than ``limit_bytes`` in all; names the largest.
        DataError: a named file does not exist.
    """
    files = {file.target: file for file in (*_package_files(), *_named_files(config))}
    total = sum(file.size for file in files.values())
    if total > limit_bytes:
        largest = sorted(files.values(), key=lambda file: -file.size)[:_NUM_NAMED]
        named = ", ".join(f"{file.target} ({_mib(file.size)})" for file in largest)
        raise ConfigError(
            f"what is sent with a job must be at most {_mib(limit_bytes)}, but is "
            f"{_mib(total)}; the largest: {named}",
            where="submit",
            remedy="put the data on the cluster's head, and name it by its absolute path there, or "
            "by a URI such as s3://bucket/reviews.csv",
        )
    return [files[target] for target in sorted(files)]


def digest(files: list[PackedFile]) -> str:
    """Identity of the files that are sent, rnnlane's own among them: 16 hex digits."""
    hasher = hashlib.sha256()
    for file in files:
        hasher.update(f"\0{file.target}\0".encode())
        with file.source.open("rb") as content:
            hasher.update(hashlib.file_digest(content, "sha256").digest())
    return hasher.hexdigest()[:16]


def reads_only_what_is_sent(config: ExperimentConfig) -> bool:
    """Whether :func:`digest` covers all data: no file is on the cluster or at a URI."""
    named = [location for _, location in _named_locations(config)]
    return all(_is_local(location) for location in named)


def write_package(
    folder: Path, config: ExperimentConfig, files: list[PackedFile], *, tags: Mapping[str, str]
) -> None:
    """Writes the working directory of a job.

    ``tags`` has facts about the submitter, such as the commit. They are added to the tags of the
    run; the experiment's own take precedence.
    """
    for file in files:
        target = folder / file.target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, target)
    plain = config.model_dump(mode="json")
    plain["tracking"]["tags"] = {**tags, **config.tracking.tags}
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    (folder / experiment_file(config)).write_text(text, encoding="utf-8")


def experiment_file(config: ExperimentConfig) -> str:
    """Name of the experiment in a job's working directory; Ray's dashboard shows it."""
    return f"{config.name}.yaml"


def _package_files() -> Iterator[PackedFile]:
    for name, path in package_files():
        yield PackedFile(path, f"{DISTRIBUTION}/{name}", path.stat().st_size)
    with contextlib.suppress(PackageNotFoundError):
        # It names what rnnlane needs, for the wheel that a model gets.
        folder = installed_metadata()
        path = folder / "METADATA"
        yield PackedFile(path, f"{folder.name}/{path.name}", path.stat().st_size)


def _named_files(config: ExperimentConfig) -> Iterator[PackedFile]:
    for key, path in _local_files(config):
        target = os.path.relpath(path)
        top = Path(target).parts[0]
        own_names = {*_OWN_NAMES, experiment_file(config)}
        if top == ".." or top in own_names:
            raise ConfigError(
                "a relative path must lead below the working directory, and to nothing called "
                f"{', '.join(sorted(own_names))}, but got {target!r}",
                where=key,
                remedy="run `rnnlane submit` from a folder above the file, or name a place that "
                "the cluster's head reaches by an absolute path or a URI",
            )
        yield PackedFile(path.absolute(), Path(target).as_posix(), path.stat().st_size)


def _local_files(config: ExperimentConfig) -> Iterator[tuple[str, Path]]:
    """Dotted key and path of each file here that an experiment names."""
    sources = _sources(config)
    for key, location in _named_locations(config):
        if not _is_local(location):
            continue
        if key in _FILE_KEYS:
            yield key, _existing_file(location, key=key)
        else:
            section, _, name = key.rpartition(".")
            for file in sources[section].files_at(name):
                yield key, Path(file.path.path)


def _named_locations(config: ExperimentConfig) -> Iterator[tuple[str, str]]:
    """Dotted key and value of each path or URI that an experiment reads."""
    for section, source in _sources(config).items():
        for name, location in source.locations.items():
            yield f"{section}.{name}", location
    for key, words in _FILE_KEYS.items():
        for value in _possible_values(config, key):
            if value is not None and value not in words:
                yield key, value


def _sources(config: ExperimentConfig) -> dict[str, Source]:
    """The sources that an experiment names, by their sections."""
    unlabeled = unlabeled_source_of(config.data)
    more = {} if unlabeled is None else {"data.unlabeled.source": unlabeled}
    return {"data.source": source_of(config.data), **more}


def _possible_values(config: ExperimentConfig, key: str) -> list[str | None]:
    """The value of a key of the experiment, and all that it may have in the search."""
    section, name = key.split(".")
    values = [getattr(getattr(config, section), name)]
    if config.search is not None and key in config.search.space:
        values += config.search.space[key].values
    return values


def _is_local(location: str) -> bool:
    return "://" not in location and not location.startswith(("/", "~"))


def _existing_file(location: str, *, key: str) -> Path:
    path = Path(location)
    if not path.is_file():
        raise ConfigError(
            f"a relative path must name a file here, but {location!r} is not one",
            where=key,
            remedy="correct the path; a file that is on the cluster needs an absolute path",
        )
    return path.absolute()


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.1f} MiB"
