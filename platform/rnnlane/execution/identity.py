"""What a run computes, as far as its experiment and the files of its model decide it."""

from __future__ import annotations

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.fingerprint import (
    config_fingerprint,
    fingerprint,
    search_fingerprint,
    seeds_fingerprint,
)
from rnnlane.data.sources.files import source_file
from rnnlane.data.sources.fingerprint import files_fingerprint
from rnnlane.data.storage import open_storage_path, user_cache

VECTORS = "model.pretrained_vectors"


def computed_fingerprint(config: ExperimentConfig) -> str:
    """Identity of a run; where the experiment has a search, of that; else, where it has several
    seeds, of all their runs together.

    A file of word vectors counts by its content: its path may stay while the file is replaced.

    Raises:
        DataError: such a file cannot be read.
    """
    search = config.search
    if search is not None:
        computed = search_fingerprint(config)
    elif config.training.seeds > 1:
        computed = seeds_fingerprint(config)
    else:
        computed = config_fingerprint(config)
    named = [config.model.pretrained_vectors]
    if search is not None and VECTORS in search.space:
        named += search.space[VECTORS].values
    digests = [_digest(path) for path in sorted({str(path) for path in named if path is not None})]
    return fingerprint([computed, *digests]) if digests else computed


def run_fingerprint(config: ExperimentConfig) -> str:
    """Identity of what ``rnnlane train`` makes of an experiment, whatever search that has.

    Raises:
        DataError: see :func:`computed_fingerprint`.
    """
    return computed_fingerprint(config.model_copy(update={"search": None}))


def _digest(location: str) -> str:
    """Of a file's content; empty where there is none, which is told where it is read."""
    path = open_storage_path(location)
    info = path.info()
    if not info.is_file:
        return ""
    return files_fingerprint([source_file(info, root=path)], cache=user_cache() / "digests")
