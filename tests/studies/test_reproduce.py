"""A tracked trial trained again: bit for bit here, within a tolerance elsewhere, or not at all."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from mlflow import MlflowClient
from typer.testing import CliRunner

from studies import reproduce
from studies.archive.packing import pack
from studies.errors import InputError
from studies.reproduce import Comparison, Original, compare, differences, verdict
from studies.retraining import tracked
from studies.runner import provenance
from tests.analysis import bulk_studies, trained_study
from tests.analysis.trained_study import TINY, Planned, TrainedStudy
from tests.studies.archive.test_archive import made
from tests.vae_trainables.cohort.support import comparable, config, run_cohort, small_data
from vae_trainables.cohort import Ways


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    planned = [Planned("0000", TINY), Planned("confirm-0000", TINY, like="0000")]
    return trained_study.write(tmp_path_factory.mktemp("reproduce"), "digits", planned)


def original(**changes: Any) -> Original:
    facts = {
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "code": provenance.code_hash(),
        "data": {},
    }
    metrics = {"val/mse": {1: 0.5, 2: 0.25}}
    return replace(Original("r", TINY, metrics, False, facts, {}), **changes)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["0000", "confirm-0000"])
def test_a_trial_is_reproduced_bit_for_bit_from_the_tracker_alone(
    study: TrainedStudy, key: str
) -> None:
    found = tracked.read(study.run_ids[key], study.uri)
    assert found.opened_test == (key != "0000")
    assert (found.backend, found.way) == ("generator", "alone")
    data = tracked.load_data(found, None)
    rows = compare(found, tracked.train_again(found, data))
    assert {row.name for row in rows} >= {"val/mse", "train/loss"}
    assert any(row.name == "test/mse" for row in rows) == found.opened_test
    assert all(row.equal for row in rows)
    assert verdict(rows, differences(found))[0]


def test_a_trials_key_stands_for_its_run(study: TrainedStudy) -> None:
    run_id = study.run_ids["confirm-0000"]
    assert tracked.run_id_of("confirm-0000", study.uri) == run_id
    assert tracked.run_id_of("confirm-0000", study.uri, "digits") == run_id
    assert tracked.run_id_of(run_id, study.uri) == run_id
    with pytest.raises(InputError, match=r"study 'others' is not in .*'digits'"):
        tracked.run_id_of("0000", study.uri, "others")


def test_a_key_of_several_studies_asks_whose() -> None:
    uri = bulk_studies.written("plain").tracking_uri
    bulk_studies.written("one")
    with pytest.raises(InputError, match=r"several trials 0000, of .*name one with --study"):
        tracked.run_id_of("0000", uri)


def test_under_the_same_conditions_only_equal_bits_are_good() -> None:
    assert differences(original()) == []
    rows = compare(original(), {1: {"val/mse": 0.5}, 2: {"val/mse": math.nextafter(0.25, 1)}})
    assert verdict(rows, []) == (
        False,
        "same machine kind, versions, code, threads: 1 of 2 points bit-equal",
    )


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"versions": provenance.versions() | {"torch": "1.0"}}, "torch 1.0 →"),
        ({"machine": {"cpu": "abacus"}}, "another CPU"),
        ({"code": "0"}, "other code of vae_trainables"),
    ],
)
def test_other_conditions_are_named_and_ask_for_less(facts: dict[str, Any], told: str) -> None:
    (found,) = differences(original(provenance=original().provenance | facts))
    assert found.startswith(told)
    rows = [Comparison("val/mse", 1, 0.5, 0.505), Comparison("val/mse", 2, 0.5, 0.5)]
    good, text = verdict(rows, [found])
    assert good
    assert "2 of 2 points within 2%, 1 of them bit-equal" in text
    assert not verdict([Comparison("val/mse", 1, 0.5, 0.52)], [found])[0]


def test_another_device_is_another_condition() -> None:
    assert differences(original(device="cuda")) == ["trained on cuda, again on cpu"]
    lower = TINY.model_copy(update={"precision": "tf32"})
    assert differences(original(device="cuda", config=lower)) == [
        "trained on cuda, again on cpu",
        "its products in tf32, again in fp32",
    ]
    assert differences(original(way="cohort")) == ["trained in a cohort, again alone"]


@pytest.mark.parametrize(
    ("told", "device", "backend"),
    [("counter", "cpu", "counter"), ("generator", "cuda", "generator"),
     (None, "cpu", "generator"), (None, "cuda", "counter"), ("", "cuda", "counter")],
)  # fmt: skip
def test_before_the_backend_was_recorded_it_followed_the_device(
    told: str | None, device: str, backend: str
) -> None:
    assert tracked._backend(told, device) == backend


@pytest.mark.parametrize("kind", ["mlp_vae", "conv_vae"])
def test_a_cohorts_trial_is_repeated_with_the_numbers_it_drew(kind: str, tmp_path: Path) -> None:
    """As on a GPU: counter streams, two slots. What is left to differ is the order of sums."""
    chosen = config(kind, noise_factor=0.45, supcon_gamma=1.0, seed=3)
    other = chosen.model_copy(update={"seed": 4})
    ways = Ways(backend="counter", adam="flat")
    run = run_cohort({0: chosen, 1: other}, tmp_path, slots=2, epochs=2, ways=ways)
    first, last = run.records[0]
    assert first.how == {"random": "counter", "way": "cohort"}
    assert last.how == {}
    points = comparable(first.metrics), comparable(last.metrics)
    metrics = {
        name: {epoch: values[name] for epoch, values in enumerate(points, start=1)}
        for name in points[0]
    }
    before = original(config=chosen, metrics=metrics, way="cohort", backend="counter")
    rows = compare(before, tracked.train_again(before, small_data()))
    assert max(abs(row.again / row.before - 1) for row in rows if row.before) < 2e-4
    assert verdict(rows, differences(before))[0]
    as_it_was = replace(before, backend="generator")
    rows = compare(as_it_was, tracked.train_again(as_it_was, small_data()))
    assert not verdict(rows, differences(before))[0]


def test_a_point_that_is_missing_now_is_not_reproduced() -> None:
    assert not verdict(compare(original(), {1: {"val/mse": 0.5}}), ["x"])[0]


def test_a_run_that_is_no_trial_is_bad_input(study: TrainedStudy) -> None:
    with pytest.raises(InputError, match="run 0123"):
        tracked.read("0123", study.uri)


def test_other_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the val images of digits are not those of the trial"):
        tracked.load_data(original(provenance={"data": {"val": "0"}}), None)


@pytest.mark.slow
def test_a_packed_study_has_a_tracker_of_its_own_while_it_is_looked_at(tmp_path: Path) -> None:
    pack(made(tmp_path / "there/kept"), tmp_path / "kept.tar.gz")
    with reproduce.tracker_of(str(tmp_path / "kept.tar.gz"), "http://nowhere") as (name, uri):
        assert name == "kept"
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("kept")
        assert len(client.search_runs([experiment.experiment_id])) == 2
        database = Path(uri.removeprefix("sqlite:///"))
        assert database.exists()
    assert not database.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a trial, such as 0005, or --study NAME or PACK.tar.gz"),
        (["--study", "FILE"], "is no packed study"),
    ],
)
def test_what_cannot_be_reproduced_is_refused_in_one_line(
    arguments: list[str], words: str, tmp_path: Path, study: TrainedStudy
) -> None:
    (tmp_path / "FILE").write_text("no archive")
    arguments = [str(tmp_path / part) if part == "FILE" else part for part in arguments]
    app = typer.Typer()
    app.command()(reproduce.command)
    done = CliRunner().invoke(app, [*arguments, "--tracking-uri", study.uri])
    assert done.exit_code == 2
    assert words in done.output
    assert len(done.output.strip().splitlines()) == 1
