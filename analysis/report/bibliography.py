"""What a study has used, as BibTeX: the entries, and which of them a study needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.tracker.results import StudyResults
from analysis.tracker.runs import METRIC, PARAM


@dataclass(frozen=True)
class Entry:
    """A publication; `fields` beside the key, as BibTeX has them."""

    kind: str
    key: str
    fields: Mapping[str, str]

    def to_bibtex(self) -> str:
        """The entry as text."""
        lines = (f"  {name} = {{{value}}}" for name, value in self.fields.items())
        return f"@{self.kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"


def _entry(kind: str, key: str, author: str, title: str, where: str, year: int) -> Entry:
    place = {"inproceedings": "booktitle", "article": "journal", "misc": "howpublished"}[kind]
    fields = {"author": author, "title": title, place: where, "year": str(year)}
    return Entry(kind, key, fields)


Used = Callable[[StudyResults], bool]


def _always(results: StudyResults) -> bool:
    return True


def _setting(name: str, *values: str) -> Used:
    return lambda results: results.info.get("settings", {}).get(name) in values


def _any(parameter: str, test: Callable[[Any], bool]) -> Used:
    def used(results: StudyResults) -> bool:
        column = results.trials.get(PARAM + parameter)
        return column is not None and any(test(value) for value in column.dropna())

    return used


def _measured(metric: str) -> Used:
    return lambda results: (
        METRIC + metric in results.trials and bool(results.trials[METRIC + metric].notna().any())
    )


SOURCES: tuple[tuple[Entry, Used], ...] = (
    (
        _entry(
            "inproceedings", "kingma2014vae", "Kingma, Diederik P. and Welling, Max",
            "Auto-Encoding Variational {B}ayes", "ICLR", 2014,
        ),
        _any("kind", lambda kind: str(kind).endswith("vae")),
    ),
    (
        _entry(
            "inproceedings", "khosla2020supcon",
            "Khosla, Prannay and Teterwak, Piotr and Wang, Chen and Sarna, Aaron and Tian, "
            "Yonglong and Isola, Phillip and Maschinot, Aaron and Liu, Ce and Krishnan, Dilip",
            "Supervised Contrastive Learning", "NeurIPS", 2020,
        ),
        _any("supcon_gamma", lambda gamma: float(gamma) > 0),
    ),
    (
        _entry(
            "inproceedings", "kingma2015adam", "Kingma, Diederik P. and Ba, Jimmy",
            "Adam: A Method for Stochastic Optimization", "ICLR", 2015,
        ),
        _any("optimizer", lambda name: name == "adam"),
    ),
    (
        _entry(
            "inproceedings", "loshchilov2019adamw", "Loshchilov, Ilya and Hutter, Frank",
            "Decoupled Weight Decay Regularization", "ICLR", 2019,
        ),
        _any("optimizer", lambda name: name == "adamw"),
    ),
    (
        _entry(
            "misc", "xiao2017fashion", "Xiao, Han and Rasul, Kashif and Vollgraf, Roland",
            "{Fashion-MNIST}: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
            "arXiv:1708.07747", 2017,
        ),
        _any("dataset", lambda name: name == "fashion-mnist"),
    ),
    (
        _entry(
            "article", "lecun1998mnist",
            "LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick",
            "Gradient-Based Learning Applied to Document Recognition",
            "Proceedings of the IEEE 86(11)", 1998,
        ),
        _any("dataset", lambda name: name == "mnist"),
    ),
    (
        _entry(
            "article", "wang2004ssim",
            "Wang, Zhou and Bovik, Alan C. and Sheikh, Hamid R. and Simoncelli, Eero P.",
            "Image Quality Assessment: From Error Visibility to Structural Similarity",
            "IEEE Transactions on Image Processing 13(4)", 2004,
        ),
        _measured("val/ssim"),
    ),
    (
        _entry(
            "inproceedings", "burda2016iwae",
            "Burda, Yuri and Grosse, Roger and Salakhutdinov, Ruslan",
            "Importance Weighted Autoencoders", "ICLR", 2016,
        ),
        _measured("test/iw_nll"),
    ),
    (
        _entry(
            "inproceedings", "bergstra2011tpe",
            "Bergstra, James and Bardenet, R{\\'e}mi and Bengio, Yoshua and K{\\'e}gl, Bal{\\'a}zs",
            "Algorithms for Hyper-Parameter Optimization", "NeurIPS", 2011,
        ),
        _setting("sampler", "tpe"),
    ),
    (
        _entry(
            "article", "deb2002nsga2",
            "Deb, Kalyanmoy and Pratap, Amrit and Agarwal, Sameer and Meyarivan, T.",
            "A Fast and Elitist Multiobjective Genetic Algorithm: {NSGA-II}",
            "IEEE Transactions on Evolutionary Computation 6(2)", 2002,
        ),
        _setting("sampler", "nsga2"),
    ),
    (
        _entry(
            "inproceedings", "li2020asha",
            "Li, Liam and Jamieson, Kevin and Rostamizadeh, Afshin and Gonina, Ekaterina and "
            "Ben-tzur, Jonathan and Hardt, Moritz and Recht, Benjamin and Talwalkar, Ameet",
            "A System for Massively Parallel Hyperparameter Tuning", "MLSys", 2020,
        ),
        _setting("scheduler", "asha", "promotion"),
    ),
    (
        _entry(
            "misc", "jaderberg2017pbt",
            "Jaderberg, Max and Dalibard, Valentin and Osindero, Simon and Czarnecki, Wojciech M. "
            "and Donahue, Jeff and Razavi, Ali and Vinyals, Oriol and Green, Tim and Dunning, Iain "
            "and Simonyan, Karen and Fernando, Chrisantha and Kavukcuoglu, Koray",
            "Population Based Training of Neural Networks", "arXiv:1711.09846", 2017,
        ),
        _setting("scheduler", "pbt"),
    ),
    (
        _entry(
            "article", "li2018hyperband",
            "Li, Lisha and Jamieson, Kevin and DeSalvo, Giulia and Rostamizadeh, Afshin and "
            "Talwalkar, Ameet",
            "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization",
            "JMLR 18(185)", 2018,
        ),
        _setting("scheduler", "hyperband"),
    ),
    (
        _entry(
            "inproceedings", "akiba2019optuna",
            "Akiba, Takuya and Sano, Shotaro and Yanase, Toshihiko and Ohta, Takeru and Koyama, "
            "Masanori",
            "Optuna: A Next-generation Hyperparameter Optimization Framework", "KDD", 2019,
        ),
        _always,
    ),
    (
        _entry(
            "misc", "liaw2018tune",
            "Liaw, Richard and Liang, Eric and Nishihara, Robert and Moritz, Philipp and "
            "Gonzalez, Joseph E. and Stoica, Ion",
            "Tune: A Research Platform for Distributed Model Selection and Training",
            "arXiv:1807.05118", 2018,
        ),
        _always,
    ),
    (
        _entry(
            "inproceedings", "paszke2019pytorch",
            "Paszke, Adam and Gross, Sam and Massa, Francisco and others",
            "{PyTorch}: An Imperative Style, High-Performance Deep Learning Library", "NeurIPS",
            2019,
        ),
        _always,
    ),
    (
        _entry(
            "misc", "schneider2025overtuning",
            "Schneider, Lennart and Bischl, Bernd and Feurer, Matthias",
            "Overtuning in Hyperparameter Optimization", "arXiv:2506.19540", 2025,
        ),
        _always,
    ),
    (
        _entry(
            "misc", "eimer2025coseal",
            "Eimer, Theresa and Sch{\\\"a}permeier, Lennart and Biedenkapp, Andr{\\'e} and others",
            "Best Practices For Empirical Meta-Algorithmic Research: Guidelines from the {COSEAL} "
            "Research Network",
            "arXiv:2512.16491", 2025,
        ),
        _always,
    ),
)  # fmt: skip
"""Each with whether a study needs it; the last two are what its audit follows."""


def entries(results: StudyResults) -> tuple[Entry, ...]:
    """What the study has used."""
    return tuple(entry for entry, used in SOURCES if used(results))


def to_bibtex(results: StudyResults) -> str:
    """The same, ready to paste."""
    return "\n\n".join(entry.to_bibtex() for entry in entries(results))
