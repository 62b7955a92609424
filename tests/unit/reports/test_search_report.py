from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports.search_figures import write_pictures
from rnnlane.reports.search_report import findings, report_html, trials_csv
from support import search_records
from support.pages import checked_page
from support.search_records import EPOCHS, LAYERS, NORM, POLICY, trial

SPACE = {POLICY: "choice(none, fixed)", NORM: "loguniform(1, 10)", LAYERS: "randint(1, 3)"}


def search(*trials: TrialRecord, **others: Any) -> SearchRecord:
    known: dict[str, Any] = {"space": SPACE, "best": 0, "elapsed_s": 4000.0, "epochs_trained": 11}
    return search_records.search(trials, **{**known, **others})


def said(search: SearchRecord, part: str) -> str:
    return " ".join(findings(search)[part])


def test_what_was_searched_has_counts_and_time() -> None:
    text = said(search(trial(0, 0.8), trial(1, 0.7, state="pruned")), "searched")
    assert (
        "3 keys varied, chosen by Optuna (TPE); the objective is val/accuracy, where higher" in text
    )
    assert "2 trials (1 finished, 1 pruned) of at most 4 epochs each" in text
    assert "67 min and trained 11 epochs" in text


def test_winner_has_its_clip_value_against_its_norm() -> None:
    best = trial(0, 0.87314, {LAYERS: 2}, clip_norm=3.0, mean_norm=2.0, clipped_fraction=0.125)
    text = said(search(best), "won")
    assert "Trial 0 won with model.num_layers = 2." in text
    assert "val/accuracy was 0.8731, at epoch 2 of 4." in text
    assert "clip value was 3, 1.5 times the mean norm of 2; 12.5% of the steps" in text
    assert "not clipped. The mean" in said(search(replace(best, clip_norm=None)), "won")


def test_a_winner_that_was_cut_short_is_said_to_be() -> None:
    assert "where it was pruned" in said(search(trial(0, 0.8, state="pruned")), "won")


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ((0.90, 0.91, 0.92), (0.80, 0.81, 0.82), "larger than the spread of seeds (0.0100)"),
        ((0.80, 0.81, 0.82), (0.795, 0.805, 0.815), "no larger than the spread of seeds (0.0100)"),
        ((0.80, 0.81, 0.82), (), "may be chance"),
        ((), (), "may be chance"),
    ],
)
def test_lead_is_held_against_the_spread_of_seeds(
    first: tuple[float, ...], second: tuple[float, ...], verdict: str
) -> None:
    record = search(trial(0, 0.9, seed_values=first), trial(1, 0.8, seed_values=second))
    assert verdict in said(record, "lead")


def test_lead_is_positive_for_a_loss_too_and_is_of_the_means_over_seeds() -> None:
    seeds = {"seed_values": (0.30, 0.32)}, {"seed_values": (0.40, 0.42)}
    record = search(trial(0, 0.30, **seeds[0]), trial(1, 0.40, **seeds[1]), is_larger_better=False)
    assert "It leads trial 1, the runner-up, by 0.1000." in said(record, "lead")
    assert "Trial 0 had 0.3100 ± 0.0141 over 2 seeds." in said(record, "lead")


def test_trials_that_clip_and_do_not_are_no_evidence_for_clipping() -> None:
    record = search(
        trial(0, 0.83, {POLICY: "fixed", NORM: 3.0}),
        trial(1, 0.8, {POLICY: "none"}),
        trial(2, 0.7, {POLICY: "none"}),
    )
    text = said(record, "clip")
    assert "The best of 1 clipped trial reached 0.8300, that of 2 without clipping 0.8000." in text
    assert f"These trials differ in {LAYERS} as well and had one seed each, so they do not" in text
    assert "better" not in text
    assert "thin evidence" in text


def test_layers_are_compared_by_their_best() -> None:
    record = search(trial(0, 0.8, {LAYERS: 2}), trial(1, 0.7, {LAYERS: 1}))
    assert said(record, "layers").startswith(
        "The best number of layers was 2 with 0.8000. Next came 1 with 0.7000."
    )


def test_what_did_not_vary_has_no_section(tmp_path: Path) -> None:
    titles = "The clip value", "The number of layers"
    for space, params, shown in (
        ({"model.cell": "choice(rnn, gru)"}, {"model.cell": "gru"}, (False, False)),
        ({LAYERS: "randint(1, 3)"}, {LAYERS: 2}, (False, True)),
        ({NORM: "loguniform(1, 10)"}, {NORM: 2.0}, (True, False)),
    ):
        record = search(trial(0, 0.8, params), trial(1, 0.7, params), space=space)
        page = report_html(record, write_pictures(record, tmp_path), best_yaml="")
        assert tuple(f"<h2>{title}</h2>" in page for title in titles) == shown
        assert page.count("hatched: not tried.</figcaption>") == any(shown)
        assert ("Left of the dashed line" in page) == shown[0]


def test_stopping_early_counts_epochs_against_those_of_the_full_search() -> None:
    record = search(trial(0, 0.8), trial(1, 0.7, state="pruned", num_epochs=1))
    text = said(record, "stopping")
    assert "trained 5 of the 8 epochs" in text
    assert "62%. 1 were pruned and 0 cut" in text
    assert "6 further epochs" in text


def test_failed_trials_are_grouped_by_reason() -> None:
    lost = [trial(i, None, state="failed", reason="out of memory") for i in (1, 2)]
    record = search(trial(0, 0.8), *lost, trial(3, None, state="failed"))
    assert findings(record)["failures"] == [
        "Trial 3: no reason is known.",
        "Trials 1, 2: out of memory.",
    ]
    assert findings(search(trial(0, 0.8)))["failures"] == []


@pytest.mark.parametrize(
    ("best", "advice"),
    [
        (trial(0, 0.8, {NORM: 9.9}), "Widen training.clip.max_norm: the winner's 9.9 is at the hi"),
        (trial(0, 0.8, best_epoch=EPOCHS), "Raise search.max_epochs"),
        (trial(0, 0.8, clip_norm=9.0, clipped_fraction=0.001), "Try smaller clip values: the"),
        (trial(0, 0.8, clip_norm=0.1, clipped_fraction=1.0), "almost every step"),
        (trial(0, 0.8), "Raise search.num_trials to 20"),
        (trial(0, 0.8), "Set search.repeats to 3"),
    ],
)
def test_next_steps_follow_from_the_winner(best: TrialRecord, advice: str) -> None:
    assert advice in said(search(best), "next_steps")
    other = trial(0, 0.8, {NORM: 3.0}, clip_norm=3.0, clipped_fraction=0.3, seed_values=(0.8, 0.8))
    many = search(*(replace(other, number=i) for i in range(20)))
    assert advice not in said(many, "next_steps")


def test_a_clip_value_that_was_never_reached_is_either_lowered_or_left_out() -> None:
    best = trial(0, 0.8, clip_norm=9.0, clipped_fraction=0.0)
    text = said(search(best, trial(1, 0.7, clip_norm=3.0)), "next_steps")
    assert "Leave out clipping" in text
    assert "smaller clip values" not in text


def test_keys_without_effect_are_to_be_fixed_not_widened() -> None:
    # The layers run through 3, 1, 2 whatever the clip value, which alone decides.
    trials = [
        trial(
            i, 0.5 + (i * 7 % 30) / 100, {NORM: 1.0 + (i * 7 % 30) / 10, LAYERS: (3, 1, 2)[i % 3]}
        )
        for i in range(30)
    ]
    best = max(range(30), key=lambda i: (trials[i].value or 0.0) + (trials[i].params[LAYERS] == 3))
    text = said(search(*trials, best=best), "next_steps")
    assert f"Fix {LAYERS}: the trials show no effect" in text
    assert f"Widen {LAYERS}" not in text


def test_csv_has_a_line_a_trial_and_a_column_a_varied_key() -> None:
    reason = 'lost "it", twice'
    record = search(
        trial(0, 0.8, {LAYERS: 2}, seed_values=(0.8, 0.9), started_at=1.0, ended_at=3.5),
        trial(1, None, {"model.cell": "rnn"}, state="failed", reason=reason),
    )
    rows = list(csv.DictReader(io.StringIO(trials_csv(record))))
    assert list(rows[0])[-5:] == [POLICY, NORM, LAYERS, "model.cell", "reason"]
    assert (rows[0]["seed_values"], rows[0]["seconds"], rows[0][LAYERS]) == ("0.8 0.9", "2.5", "2")
    assert float(rows[0]["score"]) == pytest.approx(0.85)
    assert (rows[1]["value"], rows[1][LAYERS], rows[1]["reason"]) == ("", "", reason)


def test_page_is_well_formed_escaped_and_needs_no_other_file(tmp_path: Path) -> None:
    picture = tmp_path / "learning_curves.png"
    picture.write_bytes(b"\x89PNG")
    evil = "<script>alert('&')</script>"
    record = search(
        trial(0, 0.8, {"model.cell": evil, LAYERS: 2}, seed_values=(0.8, 0.7)),
        trial(1, None, state="failed", reason=evil),
        name=evil,
        space={**SPACE, "model.cell": {"choice": [evil]}},
    )
    page = report_html(record, [picture], best_yaml=f"# {evil}")
    assert page.count("&lt;script&gt;") >= 6
    checked_page(page, links=["data:image/png;base64,iVBORw=="])


@pytest.mark.parametrize(
    "record",
    [
        search(best=None),
        search(trial(0, None, state="failed"), best=None),
        search(trial(0, None, state="running"), best=None),
        search(trial(0, math.nan), best=None),
        search(*(trial(i, 0.5, {LAYERS: 1}) for i in range(5))),
    ],
    ids=["none", "failed", "running", "nan", "constant"],
)
def test_any_search_has_a_report(record: SearchRecord) -> None:
    assert "<h2>What to try next</h2>" in report_html(record, [], best_yaml="")
    assert len(trials_csv(record).splitlines()) == 1 + len(record.trials)
