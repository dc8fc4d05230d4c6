"""A study's images, found before it is planned: a configuration has to fit them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from studies.definition import StudyDefinition
from studies.errors import InputError
from studies.runner.settings import Settings
from vae_trainables.config import PUBLISHED_SETS

if TYPE_CHECKING:
    from vae_trainables.datasets import Facts, Source


@dataclass(frozen=True)
class Images:
    """Where the images come from; the settings say it in the same words wherever they came from.

    facts: None for a published set, which the defaults of a configuration fit.
    remarks: sentences for the user.
    """

    settings: Settings
    source: Source | None = None
    facts: Facts | None = None
    remarks: tuple[str, ...] = ()


def find(definition: StudyDefinition, settings: Settings) -> Images:
    """The study's images; own ones are read here. Raises InputError with a line for the user.

    A published set that goes by its name is not looked at yet, which would import torch.
    """
    dataset = settings.dataset or definition.reference.data.dataset
    own = settings.data is not None or (definition.data is not None and settings.dataset is None)
    if not own and dataset in PUBLISHED_SETS:
        return Images(settings)
    from vae_trainables.datasets import DataError, open_source  # imports torch: seconds

    arrays = definition.data if settings.dataset is None else None
    try:
        source = open_source(
            dataset,
            data=settings.data,
            data_dir=settings.data_dir,
            resize=settings.resize,
            arrays=arrays,
        )
        return _read(source, settings)
    except DataError as error:
        raise InputError(str(error)) from error


def _read(source: Source, settings: Settings) -> Images:
    """A path that holds a published set is from now on that set; another is absolute."""
    if source.path is None:
        kept = replace(settings, dataset=source.dataset, data=None, data_dir=source.folder)
    else:
        kept = replace(settings, data=str(source.path.absolute()))
    if source.is_published:
        return Images(kept, source)
    return Images(kept, source, source.own.facts, source.own.notes)
