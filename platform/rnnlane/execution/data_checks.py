"""Whether an experiment's vectors, metric and weights fit its data, before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.errors import ConfigError, DataError
from rnnlane.records.events import RunEvents

if TYPE_CHECKING:
    from rnnlane.data.prepare.prepared import PreparedData
    from rnnlane.tracking.store import RunSummary


def check_word_vectors(config: ExperimentConfig, events: RunEvents) -> None:
    """Refuses a file of word vectors that cannot be used, before anything is started."""
    if config.model.pretrained_vectors is not None:
        from rnnlane.models.vector_files import check_vectors

        events.stage("checking the word vectors")
        check_vectors(config.model.pretrained_vectors, embedding_dim=config.model.embedding_dim)


RECURRENT_CELLS = ("rnn", "lstm", "gru")


def check_language_model(config: ExperimentConfig) -> None:
    """Refuses an experiment whose model cannot be a language model."""
    workers, streams = config.runtime.max_workers, config.pretraining.global_batch_size
    if config.model.cell not in RECURRENT_CELLS:
        raise ConfigError(
            f"a language model has a cell of {', '.join(RECURRENT_CELLS)}, but got "
            f"{config.model.cell}",
            where="model.cell",
            remedy=f"set one of them, such as model.cell={RECURRENT_CELLS[1]}",
        )
    if streams < workers:
        raise ConfigError(
            f"each worker reads a stream, but there are {streams} for {workers} workers",
            where="pretraining.global_batch_size",
            remedy=f"set it to {workers} or more",
        )


def check_classes(config: ExperimentConfig, prepared: PreparedData) -> None:
    """Refuses a metric or weights that do not fit the classes of the data."""
    from rnnlane.training.class_weights import check_class_weights

    num_classes = len(prepared.class_names)
    if config.training.metric == "val/roc_auc" and num_classes != 2:
        raise ConfigError(
            f"val/roc_auc is measured for two classes, but the data has {num_classes}",
            where="training.metric",
            remedy="choose val/accuracy or val/macro_f1",
        )
    if config.training.metric == "val/roc_auc":
        _check_both_in_val(prepared)
    check_class_weights(config.training.class_weights, prepared.class_names)


def _check_both_in_val(prepared: PreparedData) -> None:
    """Refuses a val split of one class: rows equal to test rows, once cut, are taken out of it."""
    counts = prepared.manifest.splits["val"].class_counts
    missing = [name for name, count in counts.items() if not count]
    if missing:
        raise ConfigError(
            f"val/roc_auc needs val rows of both classes, but there is none of {missing[0]!r}",
            where="training.metric",
            remedy="choose val/loss or val/accuracy; or give more rows, or raise data.val",
        )


def check_some_unlabeled(prepared: PreparedData) -> None:
    """Refuses texts without labels of which none can be read."""
    from rnnlane.data.prepare.prepared import UNLABELED_SPLIT

    if UNLABELED_SPLIT not in prepared.manifest.splits:
        raise DataError(
            "training.adversarial.unlabeled needs texts without labels, but none is left: they are "
            "empty, or equal or look like rows of train, val or test",
            where="data.unlabeled",
            remedy="check its source and columns",
        )


def check_same_data(prepared: PreparedData, run: RunSummary) -> None:
    """Refuses data that a run was not trained on."""
    from rnnlane.execution.environment import code_version
    from rnnlane.tracking.store import CODE_TAG, DATA_TAG

    expected = run.tags.get(DATA_TAG)
    if prepared.fingerprint != expected:
        remedy = "name the run's own experiment; for other labeled texts use --data FILE"
        if run.tags.get(CODE_TAG) != code_version():
            remedy += (
                ". If it is its own: other code of rnnlane, which trained it, prepared the same "
                "rows in another way; train it again"
            )
        raise ConfigError(
            f"a model is scored on the data it was trained on ({expected}), "
            f"but this experiment's data is {prepared.fingerprint}",
            where=f"run {run.run_id}",
            remedy=remedy,
        )
