"""CSV as Kaggle has MNIST: a row per image, one column of labels, the others grey pixels.

With a header or without, the labels in any column. A folder may hold one file per part
(`mnist_train.csv`, `mnist_test.csv`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vae_trainables.datasets import layouts, memory
from vae_trainables.datasets.contents import Contents, Part, Pictures, part_of
from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.formats.format import Format, files_in
from vae_trainables.datasets.sizes import Resize

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 5_000  # rows: what is held as text at a time
SAMPLE = 200  # rows that tell which column is the label
_LABELS = ("label", "labels", "class", "target", "y", "category", "emotion")
_ENDINGS = (".csv", ".csv.gz", ".csv.zip", ".csv.bz2", ".csv.xz")


def _files(path: Path) -> list[Path]:
    return [file for file in files_in(path) if file.name.lower().endswith(_ENDINGS)]


def _recognises(path: Path) -> bool:
    files = _files(path)
    return bool(files) and (path.is_file() or any(part_of(file.name) != "all" for file in files))


def _read(path: Path, resize: Resize) -> Contents:
    files = _files(path)
    if path.is_dir():
        files = [file for file in files if part_of(file.name) != "all"]
    memory.require(2 * sum(file.stat().st_size for file in files), str(path))
    parts: dict[Part, Pictures] = {}
    for file in files:
        part: Part = part_of(file.name) if path.is_dir() else "all"
        if part in parts:
            raise DataError(f"{path}: more than one CSV file of {part}: give one file")
        parts[part] = _pictures(file)
    return Contents("CSV", parts)


def _pictures(path: Path) -> Pictures:
    import pandas as pd

    try:
        header = None if _all_numbers(pd.read_csv(path, header=None, nrows=1, dtype=str)) else 0
        column = _label_column(pd.read_csv(path, header=header, nrows=SAMPLE), path)
        pixels, labels = [], []
        for rows in pd.read_csv(path, header=header, chunksize=CHUNK):
            if column is not None:
                labels.append(rows.pop(column).to_numpy())
            pixels.append(_numbers(rows, path))
    except (OSError, ValueError, EOFError) as error:  # pandas' own errors are ValueErrors
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read as CSV: {str(error).splitlines()[0]}") from error
    if not pixels:
        raise DataError(f"{path}: a CSV file without rows")
    images = layouts.as_nchw(np.concatenate(pixels), str(path))
    return Pictures(images, np.concatenate(labels) if labels else None)


def _all_numbers(row: pd.DataFrame) -> bool:
    try:
        row.astype(float)
    except ValueError:
        return False
    return True


def _label_column(sample: pd.DataFrame, path: Path) -> Any:
    """The column of the labels, None if all are pixels; raises DataError if it cannot be told."""
    columns = list(sample.columns)
    named = [name for name in columns if str(name).strip().lower() in _LABELS]
    if len(named) == 1:
        return named[0]
    texts = [name for name in columns if sample[name].dtype.kind not in "biuf"]
    if len(texts) == 1:
        return texts[0]
    if layouts.square_side(len(columns)) is not None:
        return None
    if layouts.square_side(len(columns) - 1) is not None:
        return _first_or_last(sample, columns, path)
    raise DataError(
        f"{path}: {len(columns)} columns; expected one named label and the grey pixels of square "
        "images: give other images as .npz or as a folder of pictures"
    )


def _first_or_last(sample: pd.DataFrame, columns: list[Any], path: Path) -> Any:
    """Without a name the label is the first or the last column; a corner of images is often 0."""
    varied = [c for c in (columns[0], columns[-1]) if sample[c].nunique() > 1]
    if len(varied) == 2:
        varied.sort(key=lambda column: sample[column].nunique())
        if sample[varied[0]].nunique() == sample[varied[1]].nunique():
            varied = []
    if not varied:
        raise DataError(f"{path}: which column holds the labels? Name it label in a header line")
    return varied[0]


def _numbers(rows: pd.DataFrame, path: Path) -> NDArray[Any]:
    values = rows.to_numpy()
    if values.dtype.kind not in "biuf":
        raise DataError(f"{path}: there are pixels that are no numbers, near row {rows.index[0]}")
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    small = values.size and values.min() >= 0 and values.max() <= 255
    return values.astype(np.uint8 if small else np.int32)


FORMAT = Format("CSV as Kaggle has MNIST (label and pixel columns)", _recognises, _read)
