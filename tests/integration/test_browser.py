"""What a person sees: MLflow's pages of four trained runs and a search, in a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rnnlane.config.tracking import TrackingConfig
from rnnlane.pipeline import promote
from rnnlane.reports.figures import save_confusion, save_curves
from rnnlane.reports.run_report import write_report
from rnnlane.tracking.client import open_client
from rnnlane.tracking.links import Pages, version_link
from rnnlane.tracking.run import MlflowTracker, RunSpec, start_run
from rnnlane.tracking.search import start_search
from rnnlane.tracking.store import find_run
from rnnlane.tracking.ui import page_address
from rnnlane.training.loop import Outcome
from support.browser import CURVE, chromium, opened_page, playwright, visit
from support.run_facts import run_facts
from support.runs import trained
from support.served_ui import served_ui
from support.team_server import TeamServer, log_in

pytestmark = [pytest.mark.slow, pytest.mark.release]

TRACKING = TrackingConfig(mlflow_experiment="reviews", system_metrics=False)
CLASSES = ("neg", "pos")
ONE, THREE_BOTH_WAYS = (1, False), (3, True)
MODELS = {
    "rnn-1": ("rnn", *ONE),
    "lstm-1": ("lstm", *ONE),
    "birnn-3": ("rnn", *THREE_BOTH_WAYS),
    "bilstm-3": ("lstm", *THREE_BOTH_WAYS),
}
SEARCH = "search"
TRIALS = {"#0 hidden_size=4": 4, "#1 hidden_size=8": 8, "#2 hidden_size=16": 16}
COLUMNS = (
    "best/val/accuracy",
    "test/accuracy",
    "best_epoch",
    "model.cell",
    "model.num_layers",
    "model.hidden_size",
    "clip/max_norm",
    "throughput/rows_per_s",
)
OWN_VIEW = ("mlflow.sharedViewState.0123", '{"name":"mine","createdAt":1,"state":"{}"}')
LOADED_PICTURE = "[...document.images].some(image => image.naturalWidth > 300)"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept."""
    kept = os.environ.get("RNNLANE_TEST_ARTIFACTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class Team:
    """A server with four runs, each of a model that was trained on the tiny task, and a search.

    Attributes:
        pages: of each run by its name.
    """

    server: TeamServer
    pages: dict[str, Pages]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    chromium()
    server = TeamServer()
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            log_in(monkeypatch, server.environment())
            # Made by other tools, or by us before we made views.
            client = open_client(server.url)
            experiment = client.create_experiment(TRACKING.mlflow_experiment)
            client.set_experiment_tag(experiment, *OWN_VIEW)
            yield Team(server, log_all(tmp_path_factory.mktemp("runs")))
    finally:
        server.close()


def log_all(folder: Path) -> dict[str, Pages]:
    """Trains the models and logs what runs and a search log for people."""
    pages = {}
    for name, model in MODELS.items():
        settings = dict(
            zip(("model.cell", "model.num_layers", "model.bidirectional"), model, strict=True)
        )
        outcome = trained("training.epochs=8", *(f"{k}={v}" for k, v in settings.items()))
        params = {**settings, "model.hidden_size": 5, "training.learning_rate": 0.01}
        tracker = started(name, folder / name, params=params)
        log_outcome(tracker, outcome, folder / name / "results")
        pages[name] = tracker.pages
    tags = {"rnnlane.run_key": SEARCH, "rnnlane.kind": "search"}
    spec = RunSpec(SEARCH, "m:C", CLASSES, tags=tags)
    search = start_search(TRACKING, spec, outbox=folder / SEARCH)
    for key, (name, size) in enumerate(TRIALS.items()):
        params = {"model.hidden_size": size, "model.num_layers": 1, "training.learning_rate": 0.01}
        search.open_trial(str(key), name=name, params=params, tags={"rnnlane.kind": "trial"})
        search.log_trial(str(key), outcome.history, outcome.best_epoch)
        search.close_trial(str(key), "FINISHED")
    assert search.finish("FINISHED")
    return {**pages, SEARCH: search.pages}


def started(name: str, outbox: Path, *, params: dict[str, object]) -> MlflowTracker:
    spec = RunSpec(name, "m:C", CLASSES, params=params, tags={"rnnlane.run_key": name})
    return start_run(TRACKING, spec, outbox=outbox)


def log_outcome(tracker: MlflowTracker, outcome: Outcome, results: Path) -> None:
    figures = results / "figures"
    figures.mkdir(parents=True)
    save_curves(outcome.history, figures / "curves.png", metric="val/accuracy")
    save_confusion(outcome.confusions["test"], CLASSES, figures / "confusion.png")
    (results / "tables").mkdir()
    write_report(results, run_facts(history=outcome.history, best_epoch=outcome.best_epoch))
    tracker.log_history(outcome.history, outcome.best_epoch)
    tracker.log_artifacts(results)
    bundle = results.parent / "bundle"
    bundle.mkdir()
    (bundle / "weights.txt").write_text("1")
    tracker.log_model(bundle, best_epoch=outcome.best_epoch, example="a fine film")
    assert tracker.finish("FINISHED")


@pytest.fixture
def page(team: Team) -> Iterator[playwright.Page]:
    """A page of somebody who logs in with rnnlane's account when the server asks."""
    with opened_page(team.server.server.account("rnnlane")) as page:
        yield page


def left_edge(found: playwright.Locator) -> float:
    box = found.first.bounding_box()
    assert box is not None
    return box["x"]


def test_a_browser_without_an_account_sees_nothing(team: Team, page: playwright.Page) -> None:
    stranger = page.context.browser.new_context().new_page()
    # The browser would ask a person for a name now; without one it gives up.
    with pytest.raises(playwright.Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        stranger.goto(team.server.url)


def test_the_link_to_all_runs_opens_a_table_made_for_them_with_the_search_as_one_row(
    team: Team, page: playwright.Page, pictures: Path
) -> None:
    page.set_viewport_size({"width": 1900, "height": 720})  # what is outside is not in the page
    visit(page, team.pages["rnn-1"].runs, shows="bilstm-3")
    assert page.get_by_role("heading", name="Runs").count() == 1
    places = [left_edge(page.locator(".ag-header-cell").get_by_text(name)) for name in COLUMNS]
    assert places == sorted(places)
    row = page.locator(".ag-center-cols-container .ag-row[row-index='1']").inner_text().split("\n")
    assert {"lstm", "3", "True", "5"} <= set(row)
    page.screenshot(path=pictures / "runs.png")
    assert page.get_by_role("link", name="#1 hidden_size=8").count() == 0
    page.locator(".ag-row", has_text=SEARCH).get_by_role("button").last.click()
    for name in TRIALS:
        page.get_by_role("link", name=name, exact=True).first.wait_for()
    page.screenshot(path=pictures / "search.png")


def test_its_charts_show_val_and_train_side_by_side(
    team: Team, page: playwright.Page, pictures: Path
) -> None:
    page.set_viewport_size({"width": 1440, "height": 1400})
    visit(page, f"{team.pages['rnn-1'].runs}&compareRunsMode=CHART", shows="val/loss")
    page.locator(CURVE).nth(4 * len(MODELS) - 1).wait_for(state="attached")
    for metric in ("accuracy", "loss"):
        val, train = (
            page.get_by_text(f"{split}/{metric}", exact=True) for split in ("val", "train")
        )
        assert left_edge(val) + 200 < left_edge(train)
        assert val.first.bounding_box()["y"] == train.first.bounding_box()["y"]
    for section in ("val and train", "best epoch and test", "settings against best val"):
        assert page.get_by_text(section).count() > 0
    page.wait_for_timeout(1000)
    page.screenshot(path=pictures / "charts.png")


def test_the_link_to_a_run_opens_it_and_a_view_of_ones_own_stays(
    team: Team, page: playwright.Page, pictures: Path
) -> None:
    found = find_run(team.server.url, "lstm-1")
    visit(page, team.pages["lstm-1"].run, shows=found.run_id)
    assert page.get_by_role("link", name="Runs").count() > 0  # not: Evaluation runs
    page.screenshot(path=pictures / "run.png")
    assert page_address(team.server.url, served_at="", run="lstm-1") == team.pages["lstm-1"].run

    visit(page, team.pages["lstm-1"].runs, shows="bilstm-3")
    page.get_by_role("button", name="rnnlane", exact=True).click()
    page.get_by_text("mine", exact=True).wait_for()
    experiment = open_client(team.server.url).get_experiment(found.experiment_id)
    assert experiment.tags[OWN_VIEW[0]] == OWN_VIEW[1]


def test_a_person_finds_curves_and_pictures_and_compares_two_runs(
    team: Team, page: playwright.Page, pictures: Path
) -> None:
    run_page, _, query = str(team.pages["lstm-1"].run).partition("?")
    visit(page, f"{run_page}/model-metrics?{query}", shows="Model metrics")
    page.get_by_placeholder("Search metric charts").fill("^val/(accuracy|loss)")
    page.locator(CURVE).nth(1).wait_for(state="attached")
    page.screenshot(path=pictures / "curves.png")

    page.goto(f"{run_page}/artifacts/figures/curves.png?{query}")
    page.wait_for_function(LOADED_PICTURE)
    page.screenshot(path=pictures / "picture.png")

    visit(page, f"{run_page}/artifacts/report.html?{query}", shows="report.html")
    page.frame_locator("iframe").get_by_text("What to try next").wait_for()
    page.screenshot(path=pictures / "report.png")

    runs = [str(team.pages[name].run) for name in ("lstm-1", "rnn-1")]
    ids = ",".join(f'"{re.search("/runs/([0-9a-f]+)", run)[1]}"' for run in runs)
    experiment = run_page.partition("/experiments/")[2].partition("/")[0]
    page.goto(f'{team.server.url}/#/compare-runs?runs=[{ids}]&experiments=["{experiment}"]')
    page.get_by_text("Comparing 2 Runs").first.wait_for()
    page.screenshot(path=pictures / "comparison.png")


def test_the_page_of_a_model_has_its_metrics_and_that_of_a_version_its_reason(
    team: Team, page: playwright.Page, pictures: Path
) -> None:
    server = team.server.url
    promoted = promote("bilstm-3", name="reviews", alias="champion", tracking_uri=server)
    run = open_client(server).get_run(promoted.run_id)
    (model,) = run.outputs.model_outputs
    page.set_viewport_size({"width": 1280, "height": 1400})
    address = f"{server}/#/experiments/{run.info.experiment_id}/models/{model.model_id}"
    visit(page, f"{address}?workflowType=machine_learning", shows="val/accuracy")
    for text in ("test/accuracy", "Ready", "bilstm-3", "model.num_layers"):
        page.get_by_text(text, exact=True).first.wait_for()
    page.get_by_text("reviews").first.wait_for()  # the version, by name
    page.screenshot(path=pictures / "model.png")

    visit(page, version_link(server, "reviews", promoted.version), shows="Inputs (1)")
    page.get_by_text("champion: the first to have the alias").first.wait_for()
    page.get_by_text("Outputs (4)").first.wait_for()
    page.screenshot(path=pictures / "version.png")


def test_ui_serves_a_file_at_an_address_that_opens_its_runs(
    page: playwright.Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tracker = started("small", tmp_path / "outbox", params={"model.cell": "gru"})
    assert tracker.finish("FINISHED")
    assert tracker.pages == Pages(None, None)
    with served_ui(tmp_path, "--tracking-uri", uri) as address:
        visit(page, address, shows="small")
        page.get_by_text("model.cell", exact=True).first.wait_for()
