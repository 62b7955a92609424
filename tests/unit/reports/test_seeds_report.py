import csv
import io

from rnnlane.reports.seeds_report import seeds_csv, seeds_html
from support.results import seeds_result


def test_the_page_has_mean_and_spread_the_seeds_and_the_best_and_no_markup_from_outside():
    result = seeds_result(notes=["<b>careful</b>"])
    page = seeds_html(result, name="<x>", experiment="seeds: 2")
    for text in ("0.7500 ± 0.3536", "0.8500 ± 0.0707", "&lt;b&gt;careful", "<h1>&lt;x&gt;"):
        assert text in page
    assert '<tr class="best"><td>5</td><td>55555555</td><td>2 of 3</td><td>1.0000</td>' in page
    assert "<td>best/val/accuracy</td><td>0.7500</td><td>0.3536</td><td>0.5000</td>" in page
    assert "seeds: 2" in page


def test_the_table_has_a_line_a_seed():
    first, second = csv.DictReader(io.StringIO(seeds_csv(seeds_result())))
    assert (first["seed"], first["run_id"], first["test/accuracy"]) == ("4", "4" * 16, "0.9")
    assert (second["best_epoch"], second["best/val/accuracy"]) == ("2", "1.0")
