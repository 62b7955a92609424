"""Results as verbs return them."""

import json

from rnnlane.records.results import TrainResult


def train_result(folder="/nowhere", **changes) -> TrainResult:
    epoch = {"val/accuracy": 0.75, "val/macro_f1": 0.7, "test/accuracy": 0.8, "test/macro_f1": 0.6}
    values = {
        "run_id": "0123456789abcdef",
        "tracking_uri": "sqlite:///x.db",
        "config_fingerprint": "c",
        "data_fingerprint": "d",
        "prepared_path": "p",
        "model_uri": "runs:/0/model",
        "metrics": {**epoch, "best": epoch, "last": epoch},
        "epochs": 3,
        "best_epoch": 2,
        "clip": {"max_norm": 1.5, "reason": "r", "clipped_fraction": 0.25},
        "sample": None,
        "run_folder": str(folder),
        **changes,
    }
    return TrainResult(**values)


def write_history(folder, num_epochs=3) -> list[dict[str, float]]:
    """The file of results in a run's folder; returns the history in it."""
    history = [
        {
            "epoch": float(epoch),
            "train/loss": 1 / epoch,
            "val/loss": 0.5,
            "train/accuracy": 0.5,
            "val/accuracy": 0.5 + epoch / 10,
            "val/macro_f1": 0.5,
        }
        for epoch in range(1, num_epochs + 1)
    ]
    (folder / "results").mkdir()
    (folder / "results" / "results.json").write_text(json.dumps({"history": history}))
    return history
