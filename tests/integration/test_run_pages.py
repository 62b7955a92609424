"""What runs leave on a real MLflow server, and how its pages show it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from integration.test_tracking import Server
from rnnlane.config.tracking import TrackingConfig
from rnnlane.errors import TrainingError
from rnnlane.execution import baseline as baseline_module
from rnnlane.execution import run as run_module
from rnnlane.execution.run_record import RunRecord
from rnnlane.records.events import RunEvents
from rnnlane.reports.trials import trial_name
from rnnlane.tracking.run import RunSpec
from rnnlane.tracking.search import start_search
from support.tiny import tiny_experiment
from support.tracked import IDENTITY, tiny_prepared

SPLITS = ("train", "val", "test")
BAR = ".js-plotly-plot .barlayer .trace"
SECRET = "s3://me:hunter2@bucket"


@dataclass(frozen=True)
class Runs:
    """Ids of runs of every kind on a server."""

    uri: str
    train: str
    baseline: str
    search: str
    best: str
    failed: str

    def data(self, run_id: str) -> Any:
        return MlflowClient(self.uri).get_run(run_id).data

    def text(self, run_id: str, path: str, folder: Path) -> str:
        """An artifact."""
        return Path(
            MlflowClient(self.uri).download_artifacts(run_id, path, str(folder))
        ).read_text()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("pages")
    server = Server(folder)
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("RNNLANE_HOME", str(folder / "home"))
            clip = "training.clip={policy: auto, calibration_steps: 4}"
            train = execute(run_module.execute_run, server.uri, "train", clip).run_id
            baseline = execute(baseline_module.execute_baseline, server.uri, "linear").run_id
            search = log_search(server.uri, folder)
            found_by = f"tracking.tags={{rnnlane.search_run: {search}}}"
            best = execute(run_module.execute_run, server.uri, "best", found_by).run_id
            monkeypatch.setattr(run_module, "train_in_process", fail)
            with pytest.raises(TrainingError):
                execute(run_module.execute_run, server.uri, "failed")
        (failed,) = MlflowClient(server.uri).search_runs(["1"], "attributes.status = 'FAILED'")
        yield Runs(server.uri, train, baseline, search, best, failed.info.run_id)
    finally:
        server.kill()


def execute(verb: Any, uri: str, name: str, *overrides: str) -> Any:
    """One run of a verb, on tiny data and without Ray."""
    tracking = (f"tracking.uri={uri}", "tracking.system_metrics=false", f"name={name}")
    config = tiny_experiment(*tracking, "training.epochs=3", *overrides)
    record = RunRecord.create(name, **IDENTITY)
    with record.locked() as current:
        return verb(config, tiny_prepared(), record=current, events=RunEvents())


def fail(*_arguments: Any, **_options: Any) -> None:
    raise TrainingError(f"cannot read {SECRET}")


def log_search(uri: str, folder: Path) -> str:
    """A search with a trial that finished and one that was pruned."""
    config = TrackingConfig(uri=uri, system_metrics=False)
    search = start_search(config, RunSpec("search", "m:C", ()), outbox=folder / "outbox")
    for number, state in enumerate(("finished", "pruned")):
        params = {"training.learning_rate": 0.1 / (number + 1)}
        search.open_trial(str(number), name=trial_name(number, params), params=params, tags={})
        search.log_trial(str(number), [{"epoch": 1.0, "val/accuracy": 0.5}], 1)
        name = trial_name(number, params, state=state)  # type: ignore[arg-type]
        search.tag_trial(str(number), {"mlflow.runName": name})
        search.close_trial(str(number), "KILLED" if state == "pruned" else "FINISHED")
    assert search.finish("FINISHED")
    return search.run_id


def test_what_varies_by_epoch_is_a_metric_and_what_is_of_the_run_has_step_0(runs: Runs) -> None:
    client, data = MlflowClient(runs.uri), runs.data(runs.train)
    steps = {
        key: {point.step for point in client.get_metric_history(runs.train, key)}
        for key in data.metrics
    }
    of_run = {key for key in steps if key.startswith(("best/", "test/"))} | {"best_epoch"}
    assert of_run >= {"best/val/accuracy", "best/val/loss", "best/val/macro_f1", "test/accuracy"}
    assert {key for key, found in steps.items() if found == {0}} == of_run
    assert all(steps[key] == {1, 2, 3} for key in steps.keys() - of_run)
    assert float(data.params["clip/max_norm"]) > 0
    assert "clip/calibration_norm_mean" in data.params
    curve = {p.step: p.value for p in client.get_metric_history(runs.train, "val/accuracy")}
    assert data.metrics["best/val/accuracy"] == curve[data.metrics["best_epoch"]]
    assert data.metrics["best/val/accuracy"] == max(curve.values())


def test_every_run_names_its_data_sets(runs: Runs) -> None:
    for run_id in (runs.train, runs.baseline, runs.failed):
        inputs = MlflowClient(runs.uri).get_run(run_id).inputs.dataset_inputs
        found = {one.dataset.name: (one.dataset.digest, one.tags[0].value) for one in inputs}
        assert found == {f"tiny-{split}": ("d", split) for split in SPLITS}


def test_a_run_of_best_yaml_and_its_search_name_each_other(runs: Runs) -> None:
    assert f"/runs/{runs.search}" in runs.data(runs.best).tags["mlflow.note.content"]
    tags = runs.data(runs.search).tags
    assert f"/runs/{runs.best}" in tags["mlflow.note.content"]
    assert tags["rnnlane.best_run"] == runs.best


def test_the_driver_s_log_is_an_artifact_also_of_a_failed_run(runs: Runs, tmp_path: Path) -> None:
    finished = runs.text(runs.train, "driver.log", tmp_path)
    assert "epoch 3: train/loss " in finished
    failed = runs.text(runs.failed, "driver.log", tmp_path)
    assert failed.endswith("TrainingError: cannot read s3://***@bucket\n")
    assert "Traceback" in failed
    assert "hunter2" not in failed


@pytest.mark.slow
def test_a_person_sees_data_sets_curves_bars_tables_logs_and_links(
    runs: Runs, tmp_path: Path
) -> None:
    from support.browser import CURVE, opened_page, visit  # skips the test without Playwright

    pictures = Path(os.environ.get("RNNLANE_TEST_ARTIFACTS", tmp_path))
    pictures.mkdir(parents=True, exist_ok=True)
    query = "workflowType=machine_learning"
    page_of_runs = f"{runs.uri}/#/experiments/1/runs"
    run_page, failed_page = f"{page_of_runs}/{runs.train}", f"{page_of_runs}/{runs.failed}"
    with opened_page(height=900) as page:
        visit(page, f"{page_of_runs}?{query}", shows="tiny-train (d)")
        page.get_by_text("tiny-train (d)", exact=True).nth(3).wait_for()
        page.screenshot(path=pictures / "data-sets.png")

        visit(page, f"{run_page}/model-metrics?{query}", shows="best/val")
        page.locator(BAR).nth(2).wait_for(state="attached")
        assert page.get_by_text("clip", exact=True).count() == 0
        page.get_by_placeholder("Search metric charts").fill("^val/")
        page.locator(CURVE).nth(1).wait_for(state="attached")
        page.screenshot(path=pictures / "charts.png")

        visit(page, f"{run_page}/artifacts/tables/test_classes.csv?{query}", shows="precision")
        assert page.get_by_role("columnheader", name="precision").count() > 0
        page.screenshot(path=pictures / "class-table.png")

        visit(page, f"{failed_page}/artifacts/driver.log?{query}", shows="driver.log")
        page.get_by_text("cannot read s3://***@bucket").first.wait_for()
        page.screenshot(path=pictures / "driver-log.png")

        visit(page, f"{page_of_runs}/{runs.search}?{query}", shows="#1 pruned lr=0.05")
        page.screenshot(path=pictures / "search.png")
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="best", exact=True).click()
        opened.value.get_by_text(runs.best).first.wait_for()
