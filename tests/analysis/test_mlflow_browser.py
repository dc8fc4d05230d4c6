"""MLflow's own pages on a study, in a real browser: parent, children, charts, note."""

from __future__ import annotations

import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.analysis.trained_study import TrainedStudy
from tests.crash.servers import MlflowServer

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def address(
    trained: TrainedStudy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """A server on a copy of the study's tracker, and the page of its experiment there."""
    folder = tmp_path_factory.mktemp("ui")
    shutil.copy(Path(trained.uri.removeprefix("sqlite:///")), folder / "server.db")
    server = MlflowServer(folder)
    name = urllib.parse.quote(trained.name)
    query = f"{server.uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}"
    with urllib.request.urlopen(query) as answer:
        experiment = json.load(answer)["experiment"]["experiment_id"]
    yield server.uri, f"{server.uri}/#/experiments/{experiment}"
    server.kill()


@pytest.fixture(scope="module")
def page(address: tuple[str, str]) -> Iterator[playwright.Page]:
    arguments = ["--no-sandbox", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        context = browser.new_context(viewport={"width": 1500, "height": 900})
        context.set_default_timeout(150_000)
        yield context.new_page()
        browser.close()


def test_children_would_not_be_found_under_their_study(
    page: playwright.Page, address: tuple[str, str], trained: TrainedStudy
) -> None:
    page.goto(f"{address[1]}/runs")
    page.locator(".ag-row").first.wait_for()
    assert page.locator(".ag-row").count() >= 1
    assert page.get_by_role("link", name="trial-", exact=False).count() == 0  # nested, closed
    page.locator(".ag-row [col-id*='Run Name'] button").first.click()
    for key in trained.run_ids:
        page.get_by_role("link", name=f"trial-{key}", exact=True).wait_for()


def test_a_trial_would_have_no_charts(
    page: playwright.Page, address: tuple[str, str], trained: TrainedStudy
) -> None:
    page.goto(f"{address[1]}/runs/{trained.run_ids['0001']}/model-metrics")
    page.locator(".js-plotly-plot").first.wait_for()


def test_a_trials_settings_would_not_be_shown(
    page: playwright.Page, address: tuple[str, str], trained: TrainedStudy
) -> None:
    page.goto(f"{address[1]}/runs/{trained.run_ids['0001']}")
    page.get_by_text("latent_dim", exact=True).first.wait_for()
