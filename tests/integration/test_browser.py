"""What a person sees: MLflow's pages of four trained runs, in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnnlane.config.experiment import TrackingConfig
from rnnlane.reports.figures import save_confusion, save_curves
from rnnlane.tracking.run import RunSpec, start_run
from rnnlane.tracking.store import list_runs
from rnnlane.tracking.ui import page_address
from support.runs import trained
from support.team_server import TeamServer, log_in

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install it")

pytestmark = pytest.mark.slow

MLFLOW_EXPERIMENT = "reviews"
CLASSES = ("neg", "pos")
THREE_BOTH_WAYS = ("model.num_layers=3", "model.bidirectional=true")
MODELS = {
    "rnn-1": ("model.cell=rnn",),
    "lstm-1": ("model.cell=lstm",),
    "birnn-3": ("model.cell=rnn", *THREE_BOTH_WAYS),
    "bilstm-3": ("model.cell=lstm", *THREE_BOTH_WAYS),
}
# Debian's Chromium asks hosts of its maker for lists and updates otherwise.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 60_000
CURVE = ".js-plotly-plot .scatterlayer .trace"
LOADED_PICTURE = "[...document.images].some(image => image.naturalWidth > 300)"


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium (Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept."""
    kept = os.environ.get("RNNLANE_TEST_ARTIFACTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    """A server with four runs, each of a model that was trained on the tiny task."""
    chromium()
    team = TeamServer()
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            log_in(monkeypatch, team.environment())
            for name, overrides in MODELS.items():
                log_training(name, overrides, tmp_path_factory.mktemp(name))
        yield team
    finally:
        team.close()


def log_training(name: str, overrides: tuple[str, ...], folder: Path) -> None:
    """Trains a model, and logs what a run logs for people: curves, params and pictures."""
    outcome = trained("training.epochs=8", *overrides)
    figures = folder / "results" / "figures"
    figures.mkdir(parents=True)
    save_curves(outcome.history, figures / "curves.png", metric="val/accuracy")
    save_confusion(outcome.confusions["test"], CLASSES, figures / "confusion.png")
    tracker = start_run(
        TrackingConfig(mlflow_experiment=MLFLOW_EXPERIMENT, system_metrics=False),
        RunSpec(name, "m:C", CLASSES, params=dict(item.split("=") for item in overrides)),
        outbox=folder / "outbox",
    )
    tracker.log_history(outcome.history)
    tracker.log_artifacts(folder / "results")
    assert tracker.finish("FINISHED")


@pytest.fixture
def page(team: TeamServer) -> Iterator[playwright.Page]:
    """A page of somebody who logs in with rnnlane's account when the server asks."""
    username, password = team.server.account("rnnlane")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        context = browser.new_context(
            http_credentials={"username": username, "password": password},
            viewport={"width": 1280, "height": 720},
        )
        context.set_default_timeout(TIMEOUT_MS)
        yield context.new_page()
        browser.close()


def test_a_browser_without_an_account_sees_nothing(team: TeamServer, page: playwright.Page) -> None:
    stranger = page.context.browser.new_context().new_page()
    # The browser would ask a person for a name now; without one it gives up.
    with pytest.raises(playwright.Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        stranger.goto(team.url)


def test_a_person_finds_four_runs_their_curves_and_pictures_and_compares_two(
    team: TeamServer, page: playwright.Page, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch, team.environment())
    runs = {run.name: run for run in list_runs(team.url, mlflow_experiment=None, limit=10)}
    assert runs.keys() == MODELS.keys()
    runs_page = page_address(team.url, served_at="", mlflow_experiment=MLFLOW_EXPERIMENT)
    page.goto(runs_page)
    for name in MODELS:
        page.get_by_role("link", name=name, exact=True).first.wait_for()
    # MLflow opens its assistant over a quarter of the page at the first visit.
    page.get_by_role("button", name="Close", exact=True).first.click()
    page.screenshot(path=pictures / "runs.png")

    page.get_by_role("link", name="lstm-1", exact=True).first.click()
    page.get_by_text(runs["lstm-1"].run_id).first.wait_for()
    page.screenshot(path=pictures / "run.png")

    root, _, query = runs_page.partition("?")
    run_page = f"{root}/{runs['lstm-1'].run_id}"
    page.goto(f"{run_page}/model-metrics?{query}")
    page.get_by_placeholder("Search metric charts").fill("val/(accuracy|loss)")
    page.locator(CURVE).nth(1).wait_for(state="attached")
    page.screenshot(path=pictures / "curves.png")

    page.goto(f"{run_page}/artifacts/figures/curves.png?{query}")
    page.wait_for_function(LOADED_PICTURE)
    page.screenshot(path=pictures / "picture.png")

    page.goto(f"{runs_page}&compareRunsMode=CHART")
    page.get_by_placeholder("Search metric charts").fill("val/(accuracy|loss)")
    page.locator(CURVE).nth(len(MODELS)).wait_for(state="attached")
    page.wait_for_timeout(1000)
    page.screenshot(path=pictures / "all-curves.png")

    ids = ",".join(f'"{runs[name].run_id}"' for name in ("lstm-1", "rnn-1"))
    experiment = run_page.partition("/experiments/")[2].partition("/")[0]
    page.goto(f'{team.url}/#/compare-runs?runs=[{ids}]&experiments=["{experiment}"]')
    page.get_by_text("Comparing 2 Runs").first.wait_for()
    page.screenshot(path=pictures / "comparison.png")
