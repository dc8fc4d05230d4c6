"""Published densities beside the tracker's: which runs count, what is averaged, what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis import literature
from analysis.literature import Group, app, groups, verdict
from analysis.published_densities import DENSITIES, PUBLICATIONS
from analysis.tracker.client import Record, Tracker
from studies.published_vae import REFERENCE
from tests.analysis import trained_study
from tests.analysis.trained_study import Planned, TrainedStudy, seeded
from vae_trainables import datasets
from vae_trainables.datasets.splits import TrialData

SMALL = REFERENCE.model_copy(
    update={
        "hidden": (24,), "latent_dim": 4, "epochs": 1, "train_size": 500, "iw_samples": 3,
        "iw_images": 40, "patience": 0,
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    """On the digits' images, which do not know what the configuration calls them."""
    source = replace(datasets.open_source("digits"), binarise="dynamic")
    planned = [
        Planned("reference-0000", SMALL, reference=True),
        Planned("reference-0001", seeded(SMALL, 1), reference=True),
        Planned("reference-0002", SMALL.model_copy(update={"binarise": "none"})),
        Planned("reference-0003", SMALL.model_copy(update={"eval_noise_factor": 0.2})),
        Planned("reference-0004", SMALL.model_copy(update={"likelihood": "gaussian"})),
        Planned("reference-0005", SMALL.model_copy(update={"dataset": "fashion-mnist"})),
        Planned("0000", seeded(SMALL, 2)),
    ]
    folder = tmp_path_factory.mktemp("literature")
    return trained_study.write(folder, "densities", planned, TrialData(**source.splits()))


def group(nll: float, **changes: object) -> Group:
    config = REFERENCE.model_copy(update=changes)
    return Group(config, (Record("0" * 32, "FINISHED", None, None, metrics={literature.NLL: nll}),))


def test_runs_with_a_density_are_grouped_by_configuration(trained: TrainedStudy) -> None:
    """Noisy input, another decoder, another data set and trials of a search are left out."""
    found = groups(Tracker(trained.uri), "mnist")
    assert sorted((len(g.records), g.config.data.binarise) for g in found) == [
        (1, "none"),
        (2, "dynamic"),
    ]
    assert found == sorted(found, key=lambda g: g.nll)
    pair = next(g for g in found if len(g.records) == 2)
    expected = [trained.metrics[f"reference-000{i}"]["test/iw_nll"] for i in (0, 1)]
    assert pair.nll == pytest.approx(sum(expected) / 2)


def test_the_page_has_every_published_row_and_the_conditions_of_ours(
    trained: TrainedStudy, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "mnist.md"
    done = CliRunner().invoke(app, ["mnist", "--tracking-uri", trained.uri, "--out", str(out)])
    assert done.exit_code == 0, done.output
    text = out.read_text("utf-8")
    for row in DENSITIES:
        assert (f"{row.nll:.2f}" in text) == (row.dataset == "mnist")
    assert PUBLICATIONS["norouzi2020"].citation in text
    ours = next(line for line in text.splitlines() if "4 latents" in line and "dynamic" in line)
    for said in (
        "| 2 |",
        "k = 3, first 40 test images",
        "1 epochs; batches of 100",
        "500 training",
    ):
        assert said in ours
    assert "grey, as probabilities" in text
    assert "The published VAE's network was not trained" in text


@pytest.mark.parametrize(
    ("nll", "said"),
    [
        (84.80, "0.35 nats above the printed 84.45 (mean of 1 seed): within 0.5 nats"),
        (84.00, "0.45 nats below the printed 84.45 (mean of 1 seed): within 0.5 nats"),
        (85.00, "0.55 nats above the printed 84.45 (mean of 1 seed): not within 0.5 nats"),
    ],
)
def test_the_verdict_is_of_the_published_network(nll: float, said: str) -> None:
    better_but_another = group(80.0, hidden=(500, 500))
    text = verdict("mnist", [better_but_another, group(nll, epochs=60)])
    assert said in text
    assert "epochs 60, there 2000" in text
    assert "lr 0.0005" not in text  # it does not differ


@pytest.mark.parametrize(
    ("dataset", "message"),
    [("kmnist", "no density of kmnist is listed"), ("mnist", "studies.published_vae --reference")],
)
def test_nothing_to_compare_is_bad_input(dataset: str, message: str, tmp_path: Path) -> None:
    empty = trained_study.write(tmp_path, "empty", [])
    out = str(tmp_path / "page.md")
    done = CliRunner().invoke(app, [dataset, "--tracking-uri", empty.uri, "--out", out])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
