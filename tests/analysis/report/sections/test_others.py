"""Overview, confirmation, groups, images, generation, failures, provenance."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.report.page import Command, Facts, PictureGrid, Plots, Prose, Section, TableBlock
from analysis.report.sections import (
    confirmed,
    failures,
    generation,
    groups,
    images,
    latents,
    overview,
    provenance,
    search,
)
from analysis.tracker.results import StudyResults
from tests.analysis import bulk_studies, pictured
from vae_trainables.evaluation.representation import EmbeddingMethod
from vae_trainables.models import Autoencoder


def texts(section: Section) -> str:
    return "\n".join(block.text for block in section.blocks if isinstance(block, Prose))


def test_what_was_spent_would_be_wrong() -> None:
    results = bulk_studies.results("whole")
    numbers = {each.label: each for each in overview.key_numbers(results)}
    search = results.search
    assert numbers["trials"].value == str(len(results.trials))
    assert f"{len(results.trials) - len(search)} more to confirm" in numbers["trials"].note
    assert numbers["epochs"].value == f"{int(results.trials['epochs'].sum()):,}"
    pruned = search[search["status"] == "pruned"]
    assert numbers["epochs"].note == f"{int((20 - pruned['epochs']).sum()):,} spared by pruning"
    hours, unit = overview.compute_hours(results.trials)
    expected = (results.trials["metrics.time/epoch_s"] * results.trials["epochs"]).sum() / 3600
    assert (hours, unit) == (pytest.approx(expected), "CPU-hours")


def test_time_on_a_gpu_would_be_called_cpu_hours() -> None:
    trials = bulk_studies.results("plain").trials.assign(device="cuda")
    assert overview.compute_hours(trials)[1] == "trial-hours on the GPU"
    assert overview.compute_hours(trials.drop(columns="metrics.time/epoch_s"))[0] == 0


def test_the_gain_over_the_reference_would_have_the_wrong_side() -> None:
    for key in ("plain", "maximized"):
        numbers = overview.key_numbers(bulk_studies.results(key))
        assert "better than the reference" in numbers[0].note


def test_the_winner_would_be_compared_with_itself() -> None:
    (first, *_) = overview.key_numbers(bulk_studies.results("one"))
    assert first.note == "trial 0000, the reference itself"


def test_an_unfinished_study_would_look_finished() -> None:
    found = overview.warnings(bulk_studies.results("unfinished"))
    assert any("is not over" in each for each in found)
    assert any("no winner" in each for each in found)


def test_the_search_space_would_be_shown_wrongly() -> None:
    table = overview.space_table(bulk_studies.results("plain"))
    assert table is not None
    rows = {row[0].text: row[1].text for row in table.cells()}
    assert rows["latent_dim"] == "4 to 64, log scale"
    assert rows["noise_factor"] == "0.1 to 0.8"
    assert rows["beta_schedule"] == "constant · linear"
    assert {row[0].text: row[3].text for row in table.cells()}["beta"] == "1"


def test_confirmation_runs_would_be_assigned_to_the_wrong_trial() -> None:
    results = bulk_studies.results("whole")
    found = confirmed.collect(results)
    assert found is not None
    for key, rows in found.runs.groupby("configuration"):
        assert sorted(rows["seed"]) == [1_000_000, 1_000_001, 1_000_002]
        trial = "0000" if key == confirmed.REFERENCE else key
        searched = results.search.set_index("trial").loc[trial]
        assert set(rows["params.latent_dim"]) == {searched["params.latent_dim"]}
        assert found.search_scores[key] == searched["metrics.val/mse"]


def test_a_seed_that_ran_twice_would_end_the_report() -> None:
    results = bulk_studies.results("whole")
    again = results.trials[results.trials["phase"] == "confirm"].iloc[:1]
    doubled = pd.concat([results.trials, again], ignore_index=True)
    assert confirmed.section(replace(results, trials=doubled)) is not None


def test_a_confirmation_in_the_middle_of_its_runs_would_raise() -> None:
    results = bulk_studies.results("whole")
    trials = results.trials.copy()
    confirm = trials.index[trials["phase"] == "confirm"]
    tests = [name for name in trials if name.startswith("metrics.test/")]
    trials.loc[confirm[2:], tests] = np.nan
    trials.loc[confirm[2:], "status"] = "running"
    assert confirmed.section(replace(results, trials=trials)) is not None
    trials[tests] = np.nan
    assert confirmed.section(replace(results, trials=trials)) is not None
    assert confirmed.section(replace(results, trials=trials.drop(columns=tests))) is None


def test_robustness_would_be_read_from_the_wrong_runs() -> None:
    results = bulk_studies.results("whole")
    found = confirmed.collect(results)
    assert found is not None
    run = found.runs[found.runs["configuration"] == confirmed.REFERENCE].iloc[0]
    row = {"kind": "gaussian", "factor": 0.1, "n": 500, "mse": 0.01, "psnr": 20.0, "ssim": 0.7}
    client = pictured.client(bulk_studies.written("whole"))
    client.log_text(run["run_id"], json.dumps([row]), "robustness.json")
    table, notes = confirmed.robustness_rows(results, found)
    assert notes == []
    assert table["configuration"].tolist() == ["trial 0000 (reference)"]
    assert table["seed"].tolist() == [run["seed"]]
    section = confirmed.section(results)
    assert section is not None
    assert "on the first 500 test images" in texts(section)


def test_a_broken_robustness_file_would_end_the_report() -> None:
    results = bulk_studies.results("whole")
    found = confirmed.collect(results)
    assert found is not None
    client = pictured.client(bulk_studies.written("whole"))
    broken = found.runs[found.runs["configuration"] != confirmed.REFERENCE].iloc[:2]
    for run_id, text in zip(broken["run_id"], ("{broken", '[{"kind": "gaussian"}]'), strict=True):
        client.log_text(run_id, text, "robustness.json")
    _, notes = confirmed.robustness_rows(results, found)
    assert len(notes) == 2
    assert all("cannot be used" in note for note in notes)


def test_groups_would_share_or_lose_trials() -> None:
    results = bulk_studies.results("whole")
    found = groups.split(results, "model")
    assert [name for name, _ in found] == ["conv_vae", "mlp_vae"]
    assert sum(len(each.search) for _, each in found) == len(results.search)
    for name, each in found:
        assert set(each.search["params.kind"]) == {name}
    best = min(each.ranked["metrics.val/mse"].iloc[0] for _, each in found)
    assert best == results.ranked["metrics.val/mse"].iloc[0]


def test_numbers_as_groups_would_not_say_what_they_are() -> None:
    found = groups.split(bulk_studies.results("whole"), "batch_size")
    assert [name for name, _ in found] == ["batch_size 256"]


def test_grouping_by_a_mistyped_parameter_would_raise_a_traceback() -> None:
    with pytest.raises(groups.GroupError, match=r"'latent_dims'.*there are: .*latent_dim"):
        groups.split(bulk_studies.results("plain"), "latent_dims")


def test_studies_with_different_objectives_would_share_a_plot() -> None:
    pair = [(key, bulk_studies.results(key)) for key in ("plain", "maximized")]
    section = groups.section(pair, "Side by side", "study")
    assert "no plot compares them" in texts(section)
    assert len(section.blocks) == 2


def test_pictures_would_be_of_other_images_or_models() -> None:
    results = bulk_studies.results("pictured")
    models = images.load_models(results)
    assert models.notes == ()
    assert results.winner is not None
    assert models.by_role["winner"].trial == results.winner["trial"]
    assert models.by_role["reference"].trial == "0000"
    examples = results.examples
    assert examples is not None
    grid = images.denoising_grid(results, models, examples)
    assert [row.label.partition(" ")[0] for row in grid.rows] == [
        "clean", "noisy", "reference", "winner",
    ]  # fmt: skip
    assert len(set(grid.columns)) == 10
    chosen = images.spread(examples.labels, images.SHOWN)
    for cell, index in zip(grid.rows[0].cells, chosen, strict=True):
        assert (cell.pixels == examples.images[index, 0]).all()
    made = models.by_role["winner"].denoise(examples.noisy[chosen])
    assert grid.rows[-1].cells[0].text == f"{images.psnr(made, examples.images[chosen])[0]:.1f}"


def test_the_worst_case_would_be_better_than_the_best() -> None:
    results = bulk_studies.results("pictured")
    models = images.load_models(results)
    assert results.examples is not None
    (grid,) = images.case_grids(results, models, results.examples)
    scores = [float(cell.text) for cell in grid.rows[-1].cells]
    assert scores == sorted(scores, reverse=True)
    assert [heading.partition(":")[0] for heading in grid.columns[:: images.CASES]] == [
        "best", "median", "worst",
    ]  # fmt: skip


def test_the_psnr_below_a_picture_would_not_be_the_metrics() -> None:
    import torch

    from vae_trainables import metrics

    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (3, 1, 28, 28)).astype(np.uint8)
    made = rng.random((3, 1, 28, 28), dtype=np.float32)
    expected = metrics.psnr(torch.from_numpy(made), torch.from_numpy(clean / 255).float())
    np.testing.assert_allclose(images.psnr(made, clean), expected.numpy(), atol=1e-4)
    assert images.psnr(clean, clean) == [100.0] * 3


def test_missing_weights_or_examples_would_raise() -> None:
    results = bulk_studies.results("plain")
    models = images.load_models(results)
    assert models.winner is None
    section = images.denoising(results, models)
    assert section is not None
    assert "has no checkpoint/weights.safetensors in the tracker" in texts(section)
    assert "no example images" in texts(section)
    assert generation.section(results, models.winner) is None
    assert "no latent picture" in texts(latents.section(results, models, ("pca",)))


def test_damaged_weights_would_raise() -> None:
    written = bulk_studies.written("one")
    client = pictured.client(written)
    client.log_text(written.run_ids[0], "not weights", "checkpoint/weights.safetensors")
    (note,) = images.load_models(bulk_studies.results("one")).notes
    assert "cannot be used" in note


def test_samples_interpolation_or_traversals_would_be_missing() -> None:
    results = bulk_studies.results("pictured")
    section = generation.section(results, images.load_models(results).winner)
    assert section is not None
    grids = {b.grid.name: b.grid for b in section.blocks if isinstance(b, PictureGrid)}
    assert list(grids) == ["samples", "interpolation", "traversals"]
    assert len(grids["traversals"].rows) == pictured.SMALL.model.latent_dim
    assert len(grids["interpolation"].rows[0].cells) == generation.STEPS


def test_interpolation_would_not_begin_and_end_at_its_images() -> None:
    results = bulk_studies.results("pictured")
    model, examples = images.load_models(results).winner, results.examples
    assert model is not None
    assert examples is not None
    row = generation.interpolation(results, model, examples).rows[0]
    first, second = generation.different_pairs(examples.labels, 1)[0]
    assert examples.labels[first] != examples.labels[second]
    ends = model.decode(model.codes(examples.images[[first, second]]))
    for cell, image in zip((row.cells[0], row.cells[-1]), ends, strict=True):
        np.testing.assert_allclose(cell.pixels, image[0] * 255, atol=0.51)


def test_the_numbers_beside_the_latent_picture_would_be_anothers() -> None:
    results = bulk_studies.results("pictured")
    models = images.load_models(results)
    section = latents.section(results, models, ("pca",))
    (table,) = [block.table for block in section.blocks if isinstance(block, TableBlock)]
    assert results.winner is not None
    first = dict(zip([c.key for c in table.columns], table.cells()[0], strict=True))
    assert first["model"].text == f"winner (trial {results.winner['trial']})"
    assert first["val/probe"].value == results.winner["metrics.val/probe"]
    assert 0 < float(first["pca"].value) <= 100


def test_an_embedding_without_its_library_would_end_the_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    results = bulk_studies.results("pictured")
    section = latents.section(results, images.load_models(results), ("umap", "pca"))
    assert "No picture by UMAP" in texts(section)
    assert any(isinstance(block, TableBlock) for block in section.blocks)


def test_failures_would_be_lost_or_lumped_together() -> None:
    results = bulk_studies.results("plain")
    trials = results.trials.copy()
    trials.loc[:1, "status"] = "diverged"
    trials.loc[:1, "reason"] = ["loss is nan in epoch 3", "loss is nan in epoch 11"]
    trials.loc[2, "status"] = "failed"
    trials.loc[2, "reason"] = "boom"
    trials = trials[trials["status"].isin(["finished", "diverged", "failed"])].iloc[:10]
    section = failures.section(replace(results, trials=trials))
    reasons, listing = (b.table for b in section.blocks if isinstance(b, TableBlock))
    counted = {row[0].text: row[1].text for row in reasons.cells()}
    assert counted["diverged"] == "2"
    assert [row[4].text for row in listing.cells()][:3] == [
        "loss is nan in epoch 3", "loss is nan in epoch 11", "boom",
    ]  # fmt: skip
    assert "failed" in listing.cells()[2][1].text


def test_no_failure_would_make_an_empty_table() -> None:
    section = failures.section(bulk_studies.results("one"))
    assert texts(section) == "No trial failed."
    assert len(section.blocks) == 1


def test_provenance_would_be_lost() -> None:
    section = provenance.section(bulk_studies.results("plain"))
    (facts,) = [block for block in section.blocks if isinstance(block, Facts)]
    pairs = dict(facts.pairs)
    assert pairs["code"].startswith("commit 0123456789abcdef")
    assert "dirty no" in pairs["code"]
    assert "torch 2.15.0" in pairs["versions"]
    commands = [block.text for block in section.blocks if isinstance(block, Command)]
    assert commands[0] == "python -m studies.denoise_sweep --study 'plain'"
    assert commands[1].startswith("python -m analysis.report --study plain --tracking-uri sqlite")


def test_the_command_would_not_survive_a_shell() -> None:
    import shlex

    results = bulk_studies.results("whole")
    words = shlex.split(provenance.report_command(results))
    assert words[words.index("--study") + 1] == bulk_studies.NASTY


@pytest.mark.parametrize("key", ["empty", "unfinished", "poor", "orphans", "without_objective"])
def test_the_search_sections_would_raise_for_odd_studies(key: str) -> None:
    results: StudyResults = bulk_studies.results(key)
    for make in (search.learning_curves, search.parameters, search.pareto):
        section = make(results)
        assert section is None or section.blocks


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_collapsed_codes_are_a_sentence_and_the_others_are_drawn(
    method: EmbeddingMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = bulk_studies.results("pictured")
    models = images.load_models(results)
    model = models.winner
    assert model is not None
    whole = latents.section(results, models, (method,))
    dead = replace(model, denoiser=replace(model.denoiser, model=_dead(model.model)))
    section = latents.section(
        results, replace(models, by_role=models.by_role | {"winner": dead}), (method,)
    )
    assert f"of the winner (trial {model.trial}): all " in texts(section)
    assert "codes are alike: the latent has collapsed" in texts(section)
    drawn, before = (
        sum(len(b.plots) for b in part.blocks if isinstance(b, Plots)) for part in (section, whole)
    )
    assert drawn == before - 1
    assert any(isinstance(block, TableBlock) for block in section.blocks)


def _dead(model: Autoencoder) -> Autoencoder:
    """The same with codes that do not depend on the image."""
    dead = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in dead.mean_head.parameters():  # type: ignore[union-attr]
            parameter.zero_()
    return dead


def test_examples_of_one_class_have_no_silhouette() -> None:
    results = bulk_studies.results("pictured")
    assert results.examples is not None
    single = replace(results.examples, codes_labels=0 * results.examples.codes_labels)
    section = latents.section(
        replace(results, examples=single), images.load_models(results), ("pca",)
    )
    (table,) = [block.table for block in section.blocks if isinstance(block, TableBlock)]
    assert "silhouette" in [column.key for column in table.columns]


def test_early_importance_would_leave_pruned_trials_out_or_read_another_epoch() -> None:
    results = bulk_studies.results("plain")
    judged = search.early(results)
    assert judged is not None
    rung, found = judged
    pruned = results.search[results.search["status"] == "pruned"]
    assert rung == pruned["epochs"].min()
    assert found.trials == results.count("finished") + len(pruned)
    assert search.early(bulk_studies.results("empty")) is None
