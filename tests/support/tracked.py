"""Tiny prepared data, and a tracker that remembers, to execute verbs without Ray and MLflow."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rnnlane.config.experiment import VocabularyConfig
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.tracking.links import Pages
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
        manifest=SimpleNamespace(vocabulary_size=VOCABULARY_SIZE, model_dump_json=lambda **_: "{}"),
        split=lambda name: splits[name],
        vocabulary=lambda: vocabulary,
        vocabulary_text=vocabulary.to_jsonl,
    )


class RememberedTracker:
    """Stands for MlflowTracker and for its ``start_run``."""

    run_id = "run0"
    tracking_uri = "http://ann:secret@host"
    pages = Pages("http://host/#/experiments/1/runs/run0", "http://host/#/experiments/1/runs")

    def __init__(self, *, is_away: bool = False):
        self.spec: Any = None
        self.history: list[dict[str, float]] = []
        self.files: set[str] = set()
        self.bundle: Path | None = None
        self.tags: dict[str, str] = {}
        self.status: str | None = None
        self._is_away = is_away

    def start(self, _config: Any, spec: Any, **_: Any) -> "RememberedTracker":
        self.spec = spec
        return self

    def log_history(self, history: Sequence[Mapping[str, float]]) -> None:
        self.history = [dict(entry) for entry in history]

    def log_artifacts(self, folder: Path) -> None:
        self.files |= {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}

    def log_model(self, bundle: Path) -> str:
        # As the real one does: the run's own copy goes once the run has finished.
        self.bundle = Path(tempfile.mkdtemp()) / "bundle"
        shutil.copytree(bundle, self.bundle)
        return f"runs:/{self.run_id}/model"

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.tags |= tags

    def finish(self, status: str, *, reason: str | None = None) -> bool:
        self.status = status if reason is None else f"{status}: {reason}"
        return not self._is_away
