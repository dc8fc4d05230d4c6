"""Checkpoints on disk: one safetensors file per epoch, written atomically, checked when read.

A file holds plain tensors plus one JSON text; reading one never unpickles anything.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

KEPT = 2  # the newest and the one to fall back to when the newest is damaged
_PATTERN = "epoch-*.safetensors"


class CheckpointError(Exception):
    """A checkpoint file that cannot be used: damaged, foreign, or unreadable."""


def save_checkpoint(folder: Path, epoch: int, tensors: dict[str, Tensor], meta: Any) -> Path:
    """Write `epoch-NNNN.safetensors` so that a reader sees the whole file or none of it.

    Raises OSError where the disk is full or read-only; older checkpoints stay as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"epoch-{epoch:04d}.safetensors"
    write_tensors(path, tensors, meta)
    for old in sorted(folder.glob(_PATTERN))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def write_tensors(path: Path, tensors: dict[str, Tensor], meta: Any) -> None:
    """Write tensors and a JSON-able `meta` to `path` atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(meta, sort_keys=True)
    blob = save(plain, {"meta": text, "crc32": str(_crc32(plain, text))})
    temporary = path.with_suffix(f".tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Tensors and meta of `path`; raises CheckpointError if a single bit of them is wrong."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text, crc = header["meta"], int(header["crc32"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: not a whole checkpoint ({error})") from error
    if crc != _crc32(tensors, text):
        raise CheckpointError(f"{path}: checksum differs, the file is damaged")
    return tensors, json.loads(text)


def load_newest(folder: Path) -> tuple[tuple[dict[str, Tensor], Any] | None, list[str]]:
    """Tensors and meta of the newest whole checkpoint in `folder`; complaints about newer ones.

    None if there is no whole one: the trial then starts from its first epoch.
    """
    complaints: list[str] = []
    for path in sorted(folder.glob(_PATTERN), reverse=True):
        try:
            tensors, meta = read_tensors(path)
        except CheckpointError as error:
            complaints.append(str(error))
        else:
            return (tensors, meta), complaints
    return None, complaints


def copy(source: Path, target: Path, epoch: int) -> None:
    """Give `target` the checkpoint of an epoch in `source`, if that is there."""
    name = f"epoch-{epoch:04d}.safetensors"
    if (target / name).exists() or not (source / name).exists():
        return
    target.mkdir(parents=True, exist_ok=True)
    temporary = target / f"{name}.tmp-{os.getpid()}"
    try:
        shutil.copyfile(source / name, temporary)
        os.replace(temporary, target / name)
    finally:
        temporary.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove the checkpoints of a trial that has ended; its weights file stays."""
    for path in folder.glob(_PATTERN):
        path.unlink(missing_ok=True)


def _crc32(tensors: dict[str, Tensor], text: str) -> int:
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, value)
    return value
