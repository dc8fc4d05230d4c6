"""The report: one self-contained page, its tables and figures, from the tracker alone.

    python -m analysis.report --study NAME --out DIR

`build` does the work; `main` is the command.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.command import WHERE, Debug, TrackingUri, one_line_errors, quiet_libraries
from analysis.tracker.client import Tracker, TrackerError

if TYPE_CHECKING:
    from analysis.report.page import Chapter, Section
    from analysis.tracker.results import StudyResults
    from vae_trainables.evaluation.representation import EmbeddingMethod

log = logging.getLogger("analysis.report")

EMBEDDINGS = ("pca", "umap", "tsne")
PREFIX_LETTERS = 20  # of a study's name in anchors and file names; its number tells it apart


class ReportError(ValueError):
    """A report that was asked for in a way that cannot be."""


@dataclass(frozen=True)
class Options:
    """What a report may be asked for: pictures of codes, groups of trials, trials to compare."""

    embeddings: tuple[EmbeddingMethod, ...] = ("pca",)
    group_by: str | None = None
    compare: tuple[str, ...] = ()


def build(
    studies: Sequence[str],
    out: Path,
    *,
    tracking_uri: str | None = None,
    options: Options | None = None,
) -> Path:
    """Write the report on `studies` into the folder `out`; returns the path of index.html.

    Raises TrackerError for a tracker or study that is not there, ReportError for options that do
    not fit the study, OSError where `out` cannot be written.
    """
    return write(studies, out, tracking_uri=tracking_uri, options=options)[0]


def write(
    studies: Sequence[str], out: Path, *, tracking_uri: str | None, options: Options | None
) -> list[Path]:
    """As `build`; returns all files that were written, index.html first."""
    # Imported late: with --help or a mistyped study nobody waits for torch and scikit-learn.
    from analysis.report import page
    from analysis.tracker import results

    options = options or Options()
    tracker = Tracker(tracking_uri)
    study_results = [results.collect(name, tracker) for name in dict.fromkeys(studies)]
    for study in study_results:
        log.info("%s: %s runs", study.name, f"{len(study.trials):,}")
        for note in study.notes:
            log.warning("note: %s", note)
    chapters = _chapters(study_results, options)
    out.mkdir(parents=True, exist_ok=True)
    lists = [out / f"{prefix}trials.csv" for prefix in _prefixes(study_results)]
    for study, path in zip(study_results, lists, strict=True):
        write_trials(study, path)
    whole = page.Page(_title(study_results), chapters, _made(), _footnotes(tracker))
    files = page.write_files(whole, out)
    index = out / "index.html"
    index.write_text(page.render(whole), encoding="utf-8")
    return [index, *lists, *files]


def _chapters(studies: list[StudyResults], options: Options) -> tuple[Chapter, ...]:
    """The comparison of several studies first, then one chapter each."""
    from analysis.report.page import Chapter
    from analysis.report.sections import groups
    from analysis.report.selection import selection

    chapters = []
    for study, prefix in zip(studies, _prefixes(studies), strict=True):
        parts = sections(study, options)
        picks = selection(study, parts)
        chapters.append(Chapter(study.title, subtitle(study), parts, prefix, picks))
    if len(studies) == 1:
        return tuple(chapters)
    whole = [(study.name, study) for study in studies]
    section = groups.section(whole, "Studies side by side", groups.STUDY)
    return Chapter("Comparison", "", (section,), "all-"), *chapters


def _prefixes(studies: Sequence[StudyResults]) -> list[str]:
    from analysis.report.page import slug

    if len(studies) == 1:
        return [""]
    short = [slug(study.name)[:PREFIX_LETTERS].strip("-") for study in studies]
    return [f"{number}-{name}-" for number, name in enumerate(short, start=1)]


def sections(results: StudyResults, options: Options) -> tuple[Section, ...]:
    """Everything there is to say about one study, in the order in which it is asked."""
    from analysis.report.sections import (
        audit,
        comparison,
        confirmed,
        cost,
        failures,
        generation,
        images,
        latents,
        lineage,
        overview,
        per_class,
        provenance,
        search,
    )

    entries = comparison.entries_of(results)
    models = images.load_models(results)
    parts = [
        overview.section(
            results,
            comparison.headline(results, entries),
            comparison.confirmed_numbers(results, entries),
            comparison.message_plot(results, entries),
        ),
        comparison.section(results, entries),
        confirmed.section(results),
        images.denoising(results, models),
        per_class.section(results, models),
        _compared(results, options.compare),
        _groups(results, options.group_by),
        overview.spent_section(results),
        search.learning_curves(results),
        search.parameters(results),
        lineage.section(results),
        search.rate_distortion(results),
        search.pareto(results),
        latents.section(results, models, options.embeddings),
        generation.section(results, models.winner),
        cost.section(results),
        audit.section(results),
        failures.section(results),
        provenance.section(results),
    ]
    return tuple(section for section in parts if section is not None and section.blocks)


def _groups(results: StudyResults, by: str | None) -> Section | None:
    from analysis.report.sections import groups

    if by is None:
        return None
    try:
        members = groups.split(results, by)
    except groups.GroupError as error:
        raise ReportError(str(error)) from error
    return groups.section(members, f"Grouped by {by}", by)


def _compared(results: StudyResults, keys: Sequence[str]) -> Section | None:
    from analysis.report.sections import compare

    if not keys:
        return None
    try:
        return compare.section(results, keys)
    except compare.CompareError as error:
        raise ReportError(str(error)) from error


def write_trials(results: StudyResults, path: Path) -> None:
    """All runs with all settings and latest metrics, search trials best first."""
    ranked = results.ranked.index
    order = ranked.append(results.trials.index.difference(ranked, sort=False))
    results.trials.loc[order].to_csv(path, index=False)


def subtitle(results: StudyResults) -> str:
    """The study's name where the title is another, and when it ran."""
    start = results.trials["started"].min()
    parts = [f"study {results.name}"] if results.title != results.name else []
    if start == start:  # not NaT
        parts.append(f"begun {start:%d %B %Y}")
    return ", ".join(parts)


def _title(results: Sequence[StudyResults]) -> str:
    return results[0].title if len(results) == 1 else f"{len(results)} studies compared"


def _made() -> str:
    return f"Report of {datetime.now(UTC):%d %B %Y, %H:%M} UTC"


def _footnotes(tracker: Tracker) -> tuple[str, ...]:
    return (
        f"Made from the tracker {tracker.uri} alone. Tables and figures lie beside this page as "
        "CSV, Markdown, LaTeX, PNG, SVG and PDF; the page itself needs nothing but itself.",
        "Reconstruction scores use the latent mean. PSNR and SSIM are computed per image, data "
        "range 1, then averaged; SSIM has an 11×11 gaussian window, σ 1.5, valid region. Losses "
        "are nats per image, summed over pixels and latent dimensions.",
    )


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    study: Annotated[
        list[str] | None,
        typer.Option(help="A study's name; again for several.", rich_help_panel="What to show"),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Compare trials by a parameter, such as model or latent_dim.",
            rich_help_panel="What to show",
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="A trial's key, such as 0005; again for each one to put beside it.",
            rich_help_panel="What to show",
        ),
    ] = None,
    embedding: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Picture of the codes: {', '.join(EMBEDDINGS)}; again for several. "
            "umap takes a minute or two.",
            rich_help_panel="What to show",
        ),
    ] = None,
    tracking_uri: TrackingUri = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for index.html, tables and figures.",
            rich_help_panel=WHERE,
        ),
    ] = Path("report"),
    attach: Annotated[
        bool,
        typer.Option(
            "--attach",
            help="Also store page, tables and figures with the study in MLflow.",
            rich_help_panel=WHERE,
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """A page, tables and figures on one study or several, from the MLflow tracker alone."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    quiet_libraries()
    with one_line_errors(TrackerError, ReportError, OSError, debug=debug):
        options = Options(_embeddings(embedding or ["pca"]), group_by, tuple(compare or ()))
        studies = study or _only_study(tracking_uri)
        files = write(studies, out, tracking_uri=tracking_uri, options=options)
        if attach:
            attach_files(studies, out, files, tracking_uri=tracking_uri)
    typer.echo(f"report: {files[0]}")


def attach_files(
    studies: Sequence[str], out: Path, files: Sequence[Path], *, tracking_uri: str | None = None
) -> None:
    """Store a report's files below `report/` of each study's parent run, if it has one."""
    from analysis.tracker import runs

    tracker = Tracker(tracking_uri)
    for name in studies:
        parents = [record for record in tracker.records(name) if runs.is_study(record)]
        for parent in parents[-1:]:
            for path in files:
                below = Path("report") / path.parent.relative_to(out)
                tracker.attach(parent.run_id, path, below.as_posix())


def _embeddings(methods: Sequence[str]) -> tuple[EmbeddingMethod, ...]:
    if unknown := [name for name in methods if name not in EMBEDDINGS]:
        raise ReportError(f"--embedding {unknown[0]!r} is unknown: {', '.join(EMBEDDINGS)}")
    return tuple(dict.fromkeys(methods))  # type: ignore[arg-type]


def _only_study(tracking_uri: str | None) -> list[str]:
    """The tracker's study, if it holds just one."""
    tracker = Tracker(tracking_uri)
    studies = tracker.studies()
    if len(studies) == 1:
        return studies
    listed = f"there are: {', '.join(map(repr, studies))}" if studies else "it holds none"
    raise ReportError(f"name a study of {tracker.uri} with --study; {listed}")
