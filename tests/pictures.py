"""The README's pictures of MLflow's pages: `make pictures`.

Trains four models on the demo's generated reviews, and a small search, in a home of its own; then
opens the addresses that `rnnlane ui` prints in a headless Chromium. Five minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from PIL import Image  # noqa: E402

from support.browser import CURVE, opened_page, playwright, visit  # noqa: E402
from support.command import rnnlane_json  # noqa: E402
from support.served_ui import served_ui  # noqa: E402

MODELS = {
    "rnn-1": ("model.cell=rnn", "model.num_layers=1", "model.bidirectional=false"),
    "gru-1": ("model.cell=gru", "model.num_layers=1", "model.bidirectional=false"),
    "lstm-1": ("model.num_layers=1", "model.bidirectional=false"),
    "bilstm-2": (),
}
SHORT_SEARCH = (
    "search.num_trials=6",
    "search.finalists=1",
    "search.repeats=1",
    "training.epochs=4",
)
NUM_COLORS = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = ROOT / "experiments" / "pictures"
    parser.add_argument("--folder", type=Path, default=default, help="where the pictures go")
    parser.add_argument("--home", type=Path, help="a home with the runs of an earlier call")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = arguments.home or Path(temporary) / "home"
        if not home.exists():
            home.mkdir(parents=True)
            train_all(home)
        with opened_page() as page:
            take_pictures(page, home, arguments.folder)


def train_all(home: Path) -> None:
    demo, search = (str(ROOT / "experiments" / f"{name}.yaml") for name in ("demo", "search-quick"))
    rnnlane_json(home, "tune", search, *settings(SHORT_SEARCH), timeout_s=1200)
    for name, overrides in MODELS.items():
        changed = settings((f"name={name}", *overrides))
        rnnlane_json(home, "train", demo, "--workers", "0", *changed, timeout_s=1200)


def settings(overrides: tuple[str, ...]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def take_pictures(page: playwright.Page, home: Path, folder: Path) -> None:
    with served_ui(home) as runs:
        page.set_viewport_size({"width": 1600, "height": 760})
        visit(page, runs, shows="bilstm-2")
        page.locator(".ag-row", has_text="search-quick").get_by_role("button").last.click()
        save(page, folder / "mlflow-runs.png")
        page.set_viewport_size({"width": 1440, "height": 900})
        visit(page, f"{runs}&compareRunsMode=CHART", shows="val/loss")
        page.locator(CURVE).nth(4 * len(MODELS) - 1).wait_for(state="attached")
        save(page, folder / "mlflow-charts.png")
    with served_ui(home, "--run", "bilstm-2") as run:
        # Not its first page, which names the branch that took the picture.
        address, _, query = run.partition("?")
        visit(page, f"{address}/model-metrics?{query}", shows="Model metrics")
        page.get_by_placeholder("Search metric charts").fill("^(train|val)/(accuracy|loss|macro)")
        page.locator(CURVE).nth(4).wait_for(state="attached")
        save(page, folder / "mlflow-run.png")


def save(page: playwright.Page, file: Path) -> None:
    """Saves what the page shows with few colors, so that a README loads fast."""
    page.wait_for_timeout(2000)  # plotly's animations
    page.screenshot(path=file)
    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(NUM_COLORS, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


if __name__ == "__main__":
    main()
