"""`python -m analysis.table`: chosen rows and columns, and what there is where one fits nothing."""

from __future__ import annotations

import pytest
from click.testing import Result
from typer.testing import CliRunner

from analysis.table import app
from tests.analysis import bulk_studies


def printed(*arguments: str) -> Result:
    where = ["--study", bulk_studies.STUDIES["whole"].name, "--tracking-uri"]
    uri = bulk_studies.written("whole").tracking_uri
    return CliRunner().invoke(app, [*arguments, *where, uri])


def test_a_table_would_not_fit_a_page() -> None:
    chosen = ("--row", "reference)", "--row", "wiener", "--column", "psnr", "--column", "ssim")
    result = printed("comparison_test", *chosen)
    assert result.exit_code == 0, result.output
    body = result.output.partition("midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
    assert [line.partition(" &")[0][:11] for line in body] == ["trial 0000 ", "wiener"]
    assert r"\begin{tabular}{lrr}" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("prices",), "there is no table 'prices': there are comparison_test,"),
        (("comparison_test", "--column", "beauty"), "no column is called 'beauty': there are"),
        (("comparison_test", "--row", "nobody"), "no row holds 'nobody': there are trial"),
    ],
)
def test_a_wrong_name_would_not_list_the_right_ones(arguments: list[str], said: str) -> None:
    result = printed(*arguments)
    assert result.exit_code == 2
    assert said in result.output
