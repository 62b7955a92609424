from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from rnnlane.records.ablation import Ablation, Setting
from rnnlane.records.search import SearchRecord
from rnnlane.reports.ablation import HEADS, compared, recommendation, table_rows
from rnnlane.reports.ablation_figure import save_ablation
from rnnlane.reports.search_report import findings, report_html
from support import search_records
from support.pages import checked_page
from support.search_records import LAYERS, RATE, trial

CLIP = "training.clip"
WINNER = Setting("winner", {LAYERS: 2}, 2, True, (0.80, 0.82, 0.81))
NONE = Setting("clip=none", {}, 2, False, (0.60, 0.63, 0.60), key=CLIP)
ONE = Setting("num_layers=1", {LAYERS: 1}, 1, True, (0.79, 0.82, 0.82), key=LAYERS)
BROKEN = Setting(
    "num_layers=3", {}, 3, True, (None, None, 0.8), ("the loss was not finite",) * 2, key=LAYERS
)


def ablation(*settings: Setting, **others: Any) -> Ablation:
    own = {CLIP: "1 × mean", LAYERS: "2"}
    return Ablation(True, (1, 2, 3), WINNER, settings or (NONE, ONE, BROKEN), own, **others)


def search(found: Ablation | None, **others: Any) -> SearchRecord:
    best = trial(0, 0.8, {LAYERS: 2}, clip_norm=9.0, clipped_fraction=0.0)
    return search_records.search(
        [best, trial(1, 0.4, {LAYERS: 1})], best=0, ablation=found, **others
    )


def test_an_effect_is_told_with_its_interval_and_seeds() -> None:
    intro, effect, width = compared(ablation(), [CLIP])
    assert "The winner (training.clip 1 × mean) was trained again with nothing but this" in intro
    assert "3 seeds each and paired by seed" in intro
    assert effect == "clip=none was 0.2000 worse (95% interval -0.2248 to -0.1752, 3 seeds)."
    assert "differences up to 0.0248 could go unseen" in width


def test_an_interval_with_zero_in_it_is_no_difference_seen() -> None:
    sentences = compared(ablation(), [LAYERS])
    assert sentences[1] == (
        "num_layers=1: no difference seen, equal on average (95% interval -0.0248 to +0.0248, "
        "3 seeds)."
    )
    assert sentences[2] == (
        "num_layers=3 was not measured. 2 of its 3 seeds did not finish: the loss was not finite."
    )


SHIFTED = Setting("num_layers=3", {}, 3, True, (0.81, 0.83, 0.82), key=LAYERS)


def test_equal_differences_have_no_interval_in_words_table_and_picture(tmp_path: Path) -> None:
    found = ablation(SHIFTED)
    _, sentence = compared(found, [LAYERS])
    assert sentence == (
        "num_layers=3: no difference seen, 0.0100 better with each of 3 seeds, which gives no "
        "interval."
    )
    assert table_rows(found.as_dict())[1][2:4] == ("+0.0100", "–")
    assert save_ablation(search(found), tmp_path / "a.png")


def test_the_table_has_each_setting_and_what_was_left_out() -> None:
    found = ablation(skipped={"num_layers=4": "a rule"})
    rows = [dict(zip(HEADS, row, strict=True)) for row in table_rows(found.as_dict())]
    assert [row["setting"] for row in rows] == [
        *("winner", "clip=none", "num_layers=1", "num_layers=3", "num_layers=4")
    ]
    assert [row["verdict"].partition(" (")[0] for row in rows] == [
        *("the reference", "worse", "no difference seen, recommended", "not measured"),
        "left out: a rule",
    ]
    assert rows[1]["difference"] == "-0.2000"
    assert rows[3]["seeds"] == "1 of 3"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (ablation(), "the winner with num_layers=1 instead of 2, the simplest setting within one"),
        (ablation(), "Against the winner its val/accuracy is equal on average (95% interval"),
        (ablation(NONE), "the winner as it is, the simplest setting within one standard error"),
        (ablation(is_complete=False), "num_layers=1"),
    ],
)
def test_the_recommendation_says_why(found: Ablation, said: str) -> None:
    assert said in recommendation(found, "val/accuracy")


def test_clip_and_depth_rest_on_the_ablation_where_there_is_one() -> None:
    with_it = findings(search(ablation()))
    assert "clip=none was 0.2000 worse" in " ".join(with_it["clip"])
    assert "no difference seen" in " ".join(with_it["layers"])
    assert "Leave out clipping" not in " ".join(with_it["next_steps"])
    without = findings(search(None))
    assert without["ablation"] == []
    layers = " ".join(without["layers"])
    assert f"{RATE} as well and had one seed each, so they do not show what the number" in layers
    assert "Set search.ablation" in " ".join(without["next_steps"])
    unfinished = findings(search(ablation(is_complete=False)))["next_steps"]
    assert any("the ablation is not complete" in step for step in unfinished)


def test_the_page_shows_table_and_picture(tmp_path: Path) -> None:
    record, picture = search(ablation()), tmp_path / "ablation.png"
    assert save_ablation(record, picture)
    page = report_html(record, [picture], best_yaml="")
    encoded = base64.b64encode(picture.read_bytes()).decode()
    checked_page(page, links=[f"data:image/png;base64,{encoded}"])
    assert "<h2>One setting changed</h2>" in page
    assert '<tr class="best"><td>winner</td>' in page
    assert "One setting changed" not in report_html(search(None), [], best_yaml="")


def test_nothing_is_drawn_of_what_was_not_measured(tmp_path: Path) -> None:
    assert not save_ablation(search(None), tmp_path / "a.png")
    assert not save_ablation(search(ablation(BROKEN)), tmp_path / "a.png")
