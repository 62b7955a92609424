"""Runs as MLflow has them."""

from mlflow import MlflowClient


def assert_one_whole_run(result: dict, num_epochs: int) -> None:
    client = MlflowClient(result["tracking_uri"])
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments)
    assert [run.info.run_id for run in runs] == [result["run_id"]]
    assert runs[0].info.status == "FINISHED"
    for key in ("train/loss", "val/accuracy", "throughput/rows_per_s"):
        steps = [point.step for point in client.get_metric_history(result["run_id"], key)]
        assert steps == list(range(1, num_epochs + 1)), key
