from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from analysis.figures import latent, pictures
from analysis.figures.pictures import Cell, Grid, Row
from tests.analysis.figures import drawn


def test_pixels_would_be_scaled_clipped_or_rounded_wrongly() -> None:
    images = np.asarray([[[[0.0, 1.0, 0.5, 1.7, -0.2, np.nan]]]], dtype=np.float32)
    assert pictures.to_pixels(images).tolist() == [[[0, 255, 128, 255, 0, 0]]]
    raw = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)
    assert pictures.to_pixels(raw).tolist() == [[[0, 1, 2], [3, 4, 5]]]


def test_colours_would_be_lost() -> None:
    colored = np.zeros((2, 3, 4, 5), dtype=np.uint8)
    colored[:, 1] = 9
    pixels = pictures.to_pixels(colored)
    assert pixels.shape == (2, 4, 5, 3)
    assert pixels[0, 0, 0].tolist() == [0, 9, 0]


def test_a_montage_would_misplace_its_tiles() -> None:
    tiles = np.stack([np.full((2, 3), value, np.uint8) for value in (10, 20, 30)])
    whole = pictures.montage(tiles, columns=2, gap=1)
    assert whole.shape == (5, 7)
    assert whole[0].tolist() == [10, 10, 10, 128, 20, 20, 20]
    assert whole[2].tolist() == [128] * 7
    assert whole[3].tolist() == [30, 30, 30, 128, 128, 128, 128]


def test_the_png_would_not_be_the_picture() -> None:
    pixels = np.arange(28 * 28, dtype=np.int64).reshape(28, 28).astype(np.uint8)
    cell = Cell(pixels, "ramp")
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(cell.png))))
    assert (decoded == pixels).all()
    assert (cell.width, cell.height) == (28, 28)


def test_pictures_would_have_no_alternative_text() -> None:
    images = np.zeros((2, 1, 4, 4), np.uint8)
    row = pictures.row("winner", images, ["Bag", "Coat"], texts=["18.1", "17.0"])
    assert [cell.alt for cell in row.cells] == ["Bag, winner", "Coat, winner"]
    assert [cell.text for cell in row.cells] == ["18.1", "17.0"]
    with pytest.raises(ValueError, match="zip"):
        pictures.row("winner", images, ["Bag"])


def test_paper_would_lose_labels_or_texts() -> None:
    cells = tuple(Cell(np.full((8, 8), 50, np.uint8), "x", f"{i}.5") for i in range(3))
    grid = Grid("g", "Title", "Caption", (Row("row <1>", cells),), ("best: a", "b", "c"))
    svg = drawn.on_paper(pictures.draw(grid))
    for text in (b"row &lt;1&gt;", b"2.5", b">b<"):
        assert text in svg
    assert grid.alt == "Title: rows row <1>; 3 pictures in each row."


def test_the_latent_picture_would_mix_up_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 3], 50)
    codes = rng.normal(size=(100, 6)).astype(np.float32) * 0.1
    codes[labels == 3, 0] += 5
    found = latent.info(codes, labels, who="the winner", dataset="fashion-mnist")
    assert found.classes == [0, 3]
    assert abs(found.middle(0)[0] - found.middle(3)[0]) == pytest.approx(5, abs=0.3)
    assert found.explained[0] > 0.9
    assert latent.legend(found)[1][0] == "3 Dress"
    figure = drawn.check(latent.plot(found, "winner"))
    assert [trace.name for trace in figure.data] == ["0 T-shirt/top", "3 Dress"]
    assert [note.text for note in figure.layout.annotations] == ["<b>0</b>", "<b>3</b>"]


def test_a_sample_of_codes_would_carry_the_wrong_labels() -> None:
    codes = np.arange(300, dtype=np.float32)[:, None].repeat(2, 1)
    labels = (np.arange(300) >= 150).astype(np.int64)
    found = latent.info(codes, labels, who="x", dataset="mnist", limit=40)
    assert len(found.points) == 40
    low, high = found.points[found.labels == 0, 0], found.points[found.labels == 1, 0]
    assert max(low.max(), high.max()) > 0
    assert (low.max() < high.min()) or (high.max() < low.min())
