"""Results as verbs return them."""

import json

from rnnlane.records.results import TrainResult
from rnnlane.records.seeds import SeedsResult, as_plain, describe_seed, spreads


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


def seeds_result(**changes) -> SeedsResult:
    """Of the seeds 4 and 5; the second is better on val, the first on test."""
    metrics = {
        4: {"best/val/accuracy": 0.5, "test/accuracy": 0.9},
        5: {"best/val/accuracy": 1.0, "test/accuracy": 0.8},
    }
    run_ids = {4: "4444444444444444", 5: "5555555555555555"}
    values = {
        "run_id": "0123456789abcdef",
        "tracking_uri": "sqlite:///x.db",
        "config_fingerprint": "c",
        "data_fingerprint": "d",
        "prepared_path": "p",
        "metric": "val/accuracy",
        "num_seeds": 2,
        "metrics": as_plain(spreads(list(metrics.values()))),
        "seeds": [
            describe_seed(seed, train_result(run_id=run_ids[seed]), of_seed)
            for seed, of_seed in metrics.items()
        ],
        "best_seed": 5,
        "model_uri": "runs:/5/model",
        "run_folder": "/nowhere",
        "report": "/nowhere/report.html",
        "notes": ["be careful"],
        **changes,
    }
    return SeedsResult(**values)
