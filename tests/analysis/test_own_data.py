"""Report, gallery, published model and denoised picture of a study on own images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from analysis import denoise, publish
from analysis.gallery import parts
from analysis.gallery.output import Output
from analysis.gallery.subject import GalleryError, open_subject
from analysis.report.builder import build
from tests.analysis import trained_study
from tests.analysis.trained_study import Planned, TrainedStudy
from tests.vae_trainables.datasets import made
from vae_trainables.config import TrialConfig
from vae_trainables.datasets import TrialData, open_source

SIZE = (20, 36)


def _study(folder: Path, path: Path) -> TrainedStudy:
    source = open_source("x", data=str(path))
    assert source.facts is not None
    config = TrialConfig(
        kind="conv_vae", widths=(4, 8), latent_dim=4, epochs=1, noise_factor=0.3, batch_size=8,
        dataset=source.facts.name, channels=source.facts.shape[0], image_size=SIZE,
        num_classes=3, likelihood="gaussian",
    )  # fmt: skip
    data = TrialData(**source.splits())
    planned = [
        Planned("0000", config, reference=True),
        Planned("0001", config.model_copy(update={"beta": 0.1})),
    ]
    return trained_study.write(folder, "own", planned, data, data=str(path))


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    """Colour, not square, in classes with names."""
    folder = tmp_path_factory.mktemp("pets")
    path = made.folder(folder / "pets", made.images(3, SIZE), ("cat", "dog", "emu"))
    return _study(folder, path)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    """Grey, without labels."""
    folder = tmp_path_factory.mktemp("flat")
    (folder / "photos").mkdir()
    for i, image in enumerate(made.images(1, SIZE)):
        made.save(image, folder / "photos" / f"{i}.png")
    return _study(folder, folder / "photos")


def test_the_report_names_the_classes(pets: TrainedStudy, tmp_path: Path) -> None:
    build([pets.name], tmp_path, tracking_uri=pets.uri)
    page = (tmp_path / "index.html").read_text("utf-8")
    assert all(name in page for name in ("cat", "dog", "emu"))


def test_the_report_of_images_without_labels(flat: TrainedStudy, tmp_path: Path) -> None:
    build([flat.name], tmp_path, tracking_uri=flat.uri)
    assert "image, clean" in (tmp_path / "index.html").read_text("utf-8")


@pytest.mark.parametrize("study", ["pets", "flat"])
def test_published_and_used_on_a_picture_of_one_s_own(
    study: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found: TrainedStudy = request.getfixturevalue(study)
    published = publish.publish(found.name, tracking_uri=found.uri)
    Image.fromarray(np.full((50, 60, 3), (200, 90, 40), np.uint8)).save(tmp_path / "a.png")
    done = CliRunner().invoke(
        denoise.app,
        [str(tmp_path / "a.png"), "--model", published.registered.uri, "--tracking-uri", found.uri,
         "--out", str(tmp_path / "clean")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    clean = Image.open(tmp_path / "clean/a-clean.png")
    assert clean.size == SIZE[::-1]
    assert clean.mode == ("RGB" if study == "pets" else "L")


@pytest.mark.slow
@pytest.mark.parametrize("study", ["pets", "flat"])
def test_the_gallery_draws_what_the_data_allows(
    study: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found: TrainedStudy = request.getfixturevalue(study)
    subject = open_subject(found.run_ids["0000"], tracking_uri=found.uri, language="en")
    assert subject.class_name(1) == ("dog" if study == "pets" else "")
    parts.draw(subject, Output(tmp_path), ["generation", "interpolation"])
    assert len(list(tmp_path.glob("*.png"))) > 3
    if study == "flat":
        with pytest.raises(GalleryError, match="the data has no labels"):
            parts.draw(subject, Output(tmp_path), ["downstream"])
    else:
        parts.draw(subject, Output(tmp_path), ["downstream"])
