"""The report of a run in a real browser without a network: wide, narrow, light and dark."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rnnlane.reports.figures import save_confusion, save_curves
from rnnlane.reports.run_report import write_report
from support.browser import opened_page
from support.run_facts import run_facts

WIDTHS = {"wide": 1100, "narrow": 400}
# Of the text and of what is behind it: the sum of red, green and blue.
BRIGHTNESS = """property => getComputedStyle(document.body)[property].match(/\\d+/g)
    .slice(0, 3).reduce((sum, part) => sum + Number(part), 0)"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    majority = np.array([[0, 392], [0, 408]])
    facts = run_facts(confusions={"val": majority, "test": majority})
    for name in ("figures", "tables"):
        (tmp_path / name).mkdir()
    save_curves(facts.history, tmp_path / "figures" / "curves.png")
    save_confusion(majority, facts.class_names, tmp_path / "figures" / "confusion.png")
    return write_report(tmp_path, facts)


def test_a_report_is_whole_by_itself_and_fits_its_screen(report: Path) -> None:
    kept = os.environ.get("RNNLANE_TEST_ARTIFACTS")
    with opened_page() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for name, width in WIDTHS.items():
                page.set_viewport_size({"width": width, "height": 800})
                page.goto(report.as_uri())
                page.get_by_text("Do not use this model.").wait_for()
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                pictures = page.evaluate("[...document.images].map(one => one.naturalWidth)")
                assert len(pictures) == 3
                assert min(pictures) > 300
                text, behind = (page.evaluate(BRIGHTNESS, p) for p in ("color", "backgroundColor"))
                assert (text < behind - 400) if scheme == "light" else (text > behind + 400)
                if kept:
                    file = Path(kept) / f"report-{name}-{scheme}.png"
                    page.screenshot(path=file, full_page=True)
        assert {url for url in asked if not url.startswith("data:")} == {report.as_uri()}
