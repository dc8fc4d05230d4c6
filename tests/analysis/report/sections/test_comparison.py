from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.report.page import TableBlock
from analysis.report.sections import comparison, overview
from analysis.report.sections.comparison import Entry
from analysis.statistics.quantities import quantity
from analysis.tracker.results import Examples
from analysis.tracker.runs import METRIC
from tests.analysis import bulk_studies


def entry(name: str, split: str, mse: float, group: str = "baseline") -> Entry:
    return Entry.plain(name, group, split, {"mse": mse})


def test_the_rows_would_be_incomplete_or_on_the_wrong_split() -> None:
    results = bulk_studies.results("whole")
    entries = comparison.entries_of(results)
    by_name = {(each.name, each.split): each for each in entries}
    best = results.ranked.iloc[0]
    first = by_name[f"1. trial {best['trial']}", "val"]
    assert first.scores["mse"] == best["metrics.val/mse"]
    assert first.scores["psnr"] == best["metrics.val/psnr"]
    assert sum(each.group in ("winner", "best") for each in entries) == comparison.BEST
    assert by_name["reference (trial 0000)", "val"].group == "reference"
    assert by_name["wiener", "test"].scores["psnr"] == 18.01
    assert by_name["reference system R2 as printed", "test"].scores["ssim"] == 0.595
    assert [each.group for each in entries[:2]] == ["confirmed winner", "confirmed"]
    assert all(each.split == "test" for each in entries if each.group.startswith("confirmed"))


def test_a_confirmed_row_would_have_no_interval() -> None:
    first = comparison.entries_of(bulk_studies.results("whole"))[0]
    assert first.low["mse"] < first.scores["mse"] < first.high["mse"]
    assert "confirmed on 3 seeds" in first.name


def test_the_first_numbers_would_flatter_although_a_confirmation_is_there() -> None:
    results = bulk_studies.results("whole")
    entries = comparison.entries_of(results)
    numbers = comparison.confirmed_numbers(results, entries)
    assert [number.label for number in numbers] == [
        "winner, test PSNR", "reference, test PSNR", "Wiener filter, test PSNR",
    ]  # fmt: skip
    winner = entries[0]
    assert numbers[0].value == quantity("test/psnr").with_unit(winner.scores["psnr"])
    assert "confirmed on 3 seeds; 95 % interval" in numbers[0].note
    assert numbers[2].value == "18.01 dB"
    assert overview.key_numbers(results, numbers)[:3] == [*numbers]


def test_an_unconfirmed_study_would_show_test_numbers() -> None:
    results = bulk_studies.results("plain")
    assert comparison.confirmed_numbers(results, comparison.entries_of(results)) == ()


def test_the_printed_row_would_stand_beside_another_task() -> None:
    results = bulk_studies.results("plain")
    assert comparison.printed_applies(results)
    for changed in ({"dataset": "mnist"}, {"eval_noise_factor": 0.2}):
        other = {**results.info, "reference": {**results.info["reference"], **changed}}
        assert not comparison.printed_applies(replace(results, info=other))


def test_the_table_would_print_other_numbers_than_the_tracker_holds() -> None:
    results = bulk_studies.results("whole")
    tested, validated = (
        comparison.comparison_table([e for e in comparison.entries_of(results) if e.split == split])
        for split in ("test", "val")
    )
    headers = [column.header for column in tested.columns]
    assert headers[:3] == ["what", "MSE", "PSNR (dB)"]
    assert headers[-2:] == ["images", "what it does"]
    assert "95 % intervals" in tested.note
    winner = results.winner
    assert winner is not None
    row = next(row for row in validated.cells() if row[0].text.startswith("1. trial"))
    place = [column.label for column in validated.columns].index("MSE")
    assert row[place].text == quantity("mse").text(winner["metrics.val/mse"])


def test_a_figure_of_fewer_images_or_another_report_would_be_bold() -> None:
    table = comparison.comparison_table(
        [
            entry("winner", "test", 0.016, "confirmed winner"),
            replace(entry("wiener", "test", 0.017), images=10_000),
            replace(entry("lookup", "test", 0.014), images=2_000),
            entry("reference system R2 as printed", "test", 0.012, "printed"),
        ]
    )
    header = [column.label for column in table.columns]
    place = header.index("MSE")
    assert [row[0].text for row in table.cells() if row[place].best] == ["winner"]
    lookup = dict(zip(header, table.cells()[2], strict=True))
    assert lookup["images"].text == "2000"
    assert lookup["what it does"].text == comparison.MEANINGS["lookup"]


def test_the_splits_would_share_a_table() -> None:
    results = bulk_studies.results("whole")
    section = comparison.section(results, comparison.entries_of(results))
    stems = [block.stem for block in section.blocks if isinstance(block, TableBlock)]
    assert stems == ["comparison_test", "comparison_validation", "best_trials"]


def test_scores_that_nobody_has_would_make_empty_columns() -> None:
    entries = comparison.entries_of(bulk_studies.results("poor"))
    table = comparison.comparison_table(entries)
    assert "frechet" not in {column.key for column in table.columns}


def test_doing_nothing_would_be_missing_without_baselines() -> None:
    clean = np.zeros((4, 1, 28, 28), np.uint8)
    noisy = np.full((4, 1, 28, 28), 51, np.uint8)
    labels = np.zeros(4, np.int64)
    examples = Examples(clean, noisy, labels, "val", "x", {}, clean, labels)
    results = replace(bulk_studies.results("plain"), examples=examples)
    (first, *others) = comparison.baselines(results)
    assert others == []
    assert first.name.startswith("do nothing (noisy; first 4 images)")
    assert first.scores["mse"] == pytest.approx(0.04)
    assert first.scores["psnr"] == pytest.approx(13.979, abs=1e-3)


def test_doing_nothing_would_appear_twice() -> None:
    results = bulk_studies.results("whole")
    names = [each.name for each in comparison.baselines(results)]
    assert names.count("do nothing") == 2
    assert not any(name.startswith("do nothing (noisy") for name in names)


def test_a_baseline_that_is_better_would_count_as_beaten() -> None:
    judged = entry("winner", "val", 0.015, "winner")
    rivals = [entry("wiener", "val", 0.0168), entry("lookup", "val", 0.0134)]
    (sentence,) = comparison.baseline_sentences(judged, rivals, "val/mse")
    assert sentence == "By MSE it beats wiener; it does not beat lookup (0.01340)."


def test_baselines_of_another_split_would_be_compared_in_silence() -> None:
    judged = entry("winner", "val", 0.015, "winner")
    (sentence,) = comparison.baseline_sentences(
        judged, [entry("wiener", "test", 0.0168)], "val/mse"
    )
    assert "baselines on other images" in sentence
    both = [entry("wiener", "test", 0.0168), entry("wiener", "val", 0.0168)]
    (sentence,) = comparison.baseline_sentences(judged, both, "val/mse")
    assert sentence == "By MSE it beats wiener."


def test_an_unconfirmed_winner_would_be_praised_as_certain() -> None:
    results = bulk_studies.results("plain")
    first, *_ = comparison.headline(results, comparison.entries_of(results))
    assert results.winner is not None
    assert f"trial {results.winner['trial']}" in first
    assert "not confirmed on fresh seeds" in first
    assert "better than the reference" in first


def test_a_confirmed_winner_would_be_called_unconfirmed() -> None:
    results = bulk_studies.results("whole")
    sentences = comparison.headline(results, comparison.entries_of(results))
    assert not any("not confirmed" in each for each in sentences)
    assert "95 % interval" in sentences[0]
    assert sentences[-1].startswith("By MSE it beats")


def test_nothing_finished_would_raise() -> None:
    for key in ("empty", "unfinished", "without_objective"):
        results = bulk_studies.results(key)
        assert comparison.headline(results, comparison.entries_of(results)) == ()


def test_the_long_table_would_be_out_of_order() -> None:
    results = bulk_studies.results("plain")
    table = comparison.best_table(results, limit=7)
    assert [row[0].text for row in table.cells()] == results.ranked["trial"].tolist()[:7]
    assert f"7 of {len(results.ranked)}" in table.note
    assert table.cells()[0][2].best


def test_the_first_figure_would_mix_splits_or_hide_a_baseline() -> None:
    results = bulk_studies.results("whole")
    plot = comparison.message_plot(results, comparison.entries_of(results))
    assert plot is not None
    assert plot.alt.startswith("test MSE: trial ")
    assert "(winner)" in plot.alt
    assert "(reference)" in plot.alt
    for name in ("Wiener filter", "look-up", "noisy input"):
        assert name in plot.alt
    assert "validation" not in plot.alt
    assert len(plot.spec["layout"]["shapes"]) == 2, "do nothing lies off the axis"


def test_an_unconfirmed_winner_would_be_drawn_as_if_confirmed() -> None:
    results = bulk_studies.results("plain")
    plot = comparison.message_plot(results, comparison.entries_of(results))
    assert plot is not None
    assert plot.alt.startswith("validation MSE")
    assert plot.caption.startswith("Not confirmed")
    empty = bulk_studies.results("empty")
    assert comparison.message_plot(empty, comparison.entries_of(empty)) is None


def test_what_a_users_file_measures_would_be_missing_from_the_tables() -> None:
    results = bulk_studies.results("whole")
    measured = {METRIC + "val/worst": 0.25, METRIC + "test/worst": 0.5}
    own = replace(
        results,
        trials=results.trials.assign(**measured),
        info=results.info
        | {
            "quantities": {
                "worst": {"unit": "grey levels", "direction": "minimize"},
                "tv": {"unit": "grey levels", "direction": None},  # a loss term
            }
        },
        baselines=tuple({**row, "worst": 0.75} for row in results.baselines),
    )
    entries = comparison.entries_of(own)
    scores = {entry.group: entry.scores.get("worst") for entry in entries}
    assert scores["winner"] == scores["reference"] == 0.25
    assert scores["confirmed winner"] == 0.5
    assert scores["baseline"] == 0.75
    for split in ("test", "val"):
        table = comparison.comparison_table([e for e in entries if e.split == split])
        keys = [column.key for column in table.columns]
        assert "worst" in keys
        assert "tv" not in keys
    best = comparison.best_table(own)
    assert "val/worst" in [column.key for column in best.columns]
