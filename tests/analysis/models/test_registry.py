"""Names and requirements of registered models; what needs MLflow is in test_publish."""

from __future__ import annotations

import re

import pytest

from analysis.models.registry import NAME_LIMIT, Registered, registered_name, requirements


@pytest.mark.parametrize(
    ("study", "name"),
    [
        ("denoise_sweep", "denoise_sweep"),
        ("gürültü giderme ışık", "gürültü giderme ışık"),
        ("a/b:c", "a_b_c"),
        ("what? #1 100% me@home", "what_ _1 100_ me_home"),
        ("..", "_"),
        (".hidden", "_hidden"),
        ("/", "_"),
        (" spaces ", "spaces"),
        ("tab\tnewline\n", "tab_newline_"),
        ("x" * 300, "x" * NAME_LIMIT),
    ],
)
def test_a_study_of_any_name_has_a_name_that_mlflow_takes(study: str, name: str) -> None:
    from mlflow.store.artifact.utils.models import _parse_model_uri
    from mlflow.utils.validation import _validate_model_name

    assert registered_name(study) == name
    _validate_model_name(name)
    parsed = _parse_model_uri(Registered(name, "3").uri)
    assert (parsed.name, parsed.alias) == (name, "champion")


def test_requirements_are_exact_versions_that_a_registry_has() -> None:
    found = requirements()
    assert [each.partition("==")[0] for each in found] == [
        "mlflow", "numpy", "pydantic", "safetensors", "torch",
    ]  # fmt: skip
    assert all(re.fullmatch(r"[a-z]+==\d+(\.\w+)+", each) for each in found), found
