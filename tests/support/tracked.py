"""Tiny prepared data, and a tracker that remembers, to execute verbs without Ray and MLflow."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.config.text import VocabularyConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.prepare.prepared import SourceInfo, SplitStats
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.records.predictions import Predictions
from rnnlane.records.system_use import SystemUse
from rnnlane.tracking.datasets import DatasetInfo
from rnnlane.tracking.links import Pages
from support.run_facts import manifest, split_stats
from support.tiny import VOCABULARY_SIZE, tiny_data

IDENTITY = {"config_fingerprint": "c", "data_fingerprint": "d"}


def tiny_prepared() -> Any:
    """What execution reads of PreparedData: two classes, 101 train rows, 28 words."""
    words = {f"w{number:02d}": 1 for number in range(VOCABULARY_SIZE - 2)}
    vocabulary = Vocabulary.fit(words, VocabularyConfig(min_count=1))
    splits = tiny_data().splits
    return SimpleNamespace(
        path="/data/tiny",
        fingerprint="d",
        class_names=("bad", "good"),
        manifest=manifest(
            ("bad", "good"),
            vocabulary_size=VOCABULARY_SIZE,
            source=SourceInfo(kind="csv", fingerprint="f", location="/data/tiny.csv"),
            splits={name: _stats(split) for name, split in splits.items()},
        ),
        split=lambda name: splits[name],
        pieces=lambda name, **_: splits[name].pieces(),
        parts_of_pieces=lambda name, _: [[name]],
        held_out_keys=lambda: {name: keys_of(splits[name]) for name in ("val", "test")},
        row_keys=lambda name: keys_of(splits[name]),
        texts=lambda name, keys: {int(key): f"text of {name} {key}" for key in keys},
        vocabulary=lambda: vocabulary,
        vocabulary_text=vocabulary.to_jsonl,
    )


def keys_of(split: EncodedSplit) -> npt.NDArray[np.uint64]:
    return np.arange(len(split)).astype(np.uint64) + np.uint64(2**63)


def _stats(split: EncodedSplit) -> SplitStats:
    counts = np.bincount(split.labels, minlength=2).tolist()
    return split_stats(counts, ("bad", "good"), num_tokens=len(split.token_ids))


class RememberedTracker:
    """Stands for MlflowTracker and for its ``start_run``."""

    run_id = "run0"
    tracking_uri = "http://ann:secret@host"
    pages = Pages("http://host/#/experiments/1/runs/run0", "http://host/#/experiments/1/runs")

    def __init__(self, *, is_away: bool = False):
        self.spec: Any = None
        self.history: list[dict[str, float]] = []
        self.files: set[str] = set()
        self.predictions: dict[str, Predictions] = {}
        self.bundle: Path | None = None
        self.tags: dict[str, str] = {}
        self.datasets: list[DatasetInfo] = []
        self.system_uses: list[SystemUse] = []
        self.search_run_id: str | None = None
        self.seed_run_ids: dict[int, str] = {}
        self.best_epoch: int | None = None
        self.summary: dict[str, float] = {}
        self.status: str | None = None
        self._is_away = is_away

    def start(self, _config: Any, spec: Any, **_: Any) -> "RememberedTracker":
        self.spec = spec
        return self

    def log_history(
        self, history: Sequence[Mapping[str, float]], best_epoch: int | None = None
    ) -> None:
        self.history = [dict(entry) for entry in history]
        self.best_epoch = best_epoch

    def log_summary(self, values: Mapping[str, float]) -> None:
        self.summary |= values

    def add_system_use(self, use: SystemUse) -> None:
        self.system_uses.append(use)

    def log_datasets(self, datasets: Sequence[DatasetInfo]) -> None:
        self.datasets += datasets

    def link_search(self, search_run_id: str) -> None:
        self.search_run_id = search_run_id

    def link_seed(self, seed: int, run_id: str) -> None:
        self.seed_run_ids[seed] = run_id

    def log_artifacts(self, folder: Path) -> None:
        for file in folder.glob("predictions/*.parquet"):
            self.predictions[file.stem] = Predictions.read(file)
        self.files |= {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}

    def log_model(self, bundle: Path, **_: Any) -> str:
        # As the real one does: the run's own copy goes once the run has finished.
        self.bundle = Path(tempfile.mkdtemp()) / "bundle"
        shutil.copytree(bundle, self.bundle)
        return f"runs:/{self.run_id}/model"

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.tags |= tags

    def finish(self, status: str, *, reason: str | None = None) -> bool:
        self.status = status if reason is None else f"{status}: {reason}"
        return not self._is_away
