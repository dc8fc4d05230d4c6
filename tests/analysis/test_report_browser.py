"""The page in a real browser: no errors, sorting, picking, keyboard, light and dark, phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import builder as report
from tests.analysis import bulk_studies

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with pictures, and one study with everything else beside it."""
    out = tmp_path_factory.mktemp("page")
    keys = ["whole", "pictured"]
    for key in keys:
        bulk_studies.written(key)
    uri = bulk_studies.uri()
    return report.build([bulk_studies.STUDIES[key].name for key in keys], out, tracking_uri=uri)


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    arguments = ["--no-sandbox", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield found
        found.close()


class Opened:
    """The page in a window, with what the browser complained about."""

    def __init__(self, browser: playwright.Browser, path: Path, **context: object) -> None:
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(150_000)  # a busy machine needs its time
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in
                     ("error", "warning") else None)  # fmt: skip
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.resolve().as_uri())

    def scroll_through(self) -> None:
        """Bring every plot near the screen, so that it is drawn."""
        height = self.page.evaluate("document.documentElement.scrollHeight")
        for y in range(0, height, 600):
            self.page.evaluate(f"window.scrollTo({{top: {y}, behavior: 'instant'}})")
            self.page.wait_for_timeout(60)


@pytest.fixture
def opened(browser: playwright.Browser, page_file: Path) -> Iterator[Opened]:
    found = Opened(browser, page_file, viewport={"width": 1280, "height": 900})
    yield found
    found.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_browser_would_complain(
    browser: playwright.Browser, page_file: Path, scheme: str
) -> None:
    opened = Opened(browser, page_file, color_scheme=scheme)
    opened.scroll_through()
    opened.page.wait_for_function(
        "document.querySelectorAll('.canvas').length =="
        " document.querySelectorAll('.canvas .main-svg:first-child').length"
    )
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    opened.context.close()


def test_two_studies_with_all_there_is_would_be_too_large_to_mail(page_file: Path) -> None:
    assert page_file.stat().st_size < 2_600_000


def test_pictures_would_have_no_text(opened: Opened) -> None:
    pictures = opened.page.locator("img")
    assert pictures.count() > 50
    assert opened.page.locator("img:not([alt]), img[alt='']").count() == 0
    broken = "[...document.images].filter(each => !each.naturalWidth).length"
    assert opened.page.evaluate(broken) == 0


def column(opened: Opened, table: str, number: int) -> list[str]:
    cells = opened.page.locator(f"[id='{table}'] tbody tr > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_tables_would_not_sort_by_mouse_or_keyboard(opened: Opened) -> None:
    table = opened.page.locator("table[id$='table-best_trials']").first
    name = table.get_attribute("id")
    assert name is not None
    headings = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    mse = next(i for i, text in enumerate(headings) if "MSE" in text) + 1
    button = table.locator(f"thead th:nth-child({mse}) button")
    button.click()
    rising = [float(text.split()[0]) for text in column(opened, name, mse)]
    assert rising == sorted(rising)
    button.focus()
    opened.page.keyboard.press("Enter")
    falling = [float(text.split()[0]) for text in column(opened, name, mse)]
    assert falling == sorted(rising, reverse=True)
    sorted_by = table.locator(f"thead th:nth-child({mse})").get_attribute("aria-sort")
    assert sorted_by == "descending"


def test_missing_values_would_be_sorted_as_numbers(opened: Opened) -> None:
    table = opened.page.locator("table[id$='table-comparison_test']").first
    name = table.get_attribute("id")
    assert name is not None
    headings = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    elbo = next(i for i, text in enumerate(headings) if "ELBO" in text) + 1
    for _ in range(2):
        table.locator(f"thead th:nth-child({elbo}) button").click()
        texts = column(opened, name, elbo)
        missing = texts.index("–")
        assert missing > 0
        assert set(texts[missing:]) == {"–"}


def test_a_line_in_parallel_coordinates_could_not_be_picked(opened: Opened) -> None:
    figure = opened.page.locator("figure.parallel").first
    figure.scroll_into_view_if_needed()
    best = figure.locator("path.line").last
    trial = best.get_attribute("data-trial")
    assert best.evaluate(
        """line => {
          const length = line.getTotalLength(), box = line.ownerSVGElement.getScreenCTM();
          for (let i = 1; i < 60; i++) {
            const at = line.getPointAtLength(length * i / 60).matrixTransform(box);
            if (document.elementFromPoint(at.x, at.y) === line) {
              line.dataset.x = at.x; line.dataset.y = at.y; return true;
            }
          }
          return false;
        }"""
    )
    place = best.evaluate("line => [Number(line.dataset.x), Number(line.dataset.y)]")
    opened.page.mouse.click(*place)
    assert figure.locator("path.on").get_attribute("data-trial") == trial
    told = figure.locator(".picked").inner_text()
    assert told.startswith(f"Trial {trial} (place 1)")
    assert "latent_dim" in told


def test_a_line_could_not_be_picked_without_a_mouse(opened: Opened) -> None:
    figure = opened.page.locator("figure.parallel").first
    select = figure.locator("select.pick")
    select.focus()
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("ArrowDown")
    assert figure.locator("path.on").count() == 1
    assert "(place 2)" in figure.locator(".picked").inner_text()


def test_a_drag_along_an_axis_would_filter_nothing(opened: Opened) -> None:
    figure = opened.page.locator("figure.parallel").first
    figure.locator(".lines").scroll_into_view_if_needed()
    opened.page.wait_for_timeout(1000)  # plots near by are drawn now
    box = figure.locator("rect.catch").nth(0).bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 2
    opened.page.mouse.move(x, box["y"] + 8)
    opened.page.mouse.down()
    opened.page.mouse.move(x, box["y"] + box["height"] / 3)
    opened.page.mouse.up()
    shown, total = (
        int(each) for each in figure.locator(".count").inner_text().split() if each.isdigit()
    )
    assert 0 < shown < total
    figure.locator("button.clear").click()
    assert figure.locator("path.off").count() == 0


def test_dark_would_be_light(browser: playwright.Browser, page_file: Path) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        opened = Opened(browser, page_file, color_scheme=scheme)
        shades[scheme] = opened.page.evaluate(
            "(({backgroundColor, color}) => [backgroundColor, color])"
            "(getComputedStyle(document.body))"
        )
        opened.context.close()
    assert shades["light"] != shades["dark"]
    assert shades["dark"][0] == "rgb(22, 23, 27)"


def test_a_phone_would_scroll_sideways(browser: playwright.Browser, page_file: Path) -> None:
    opened = Opened(browser, page_file, viewport={"width": 360, "height": 780}, has_touch=True)
    opened.scroll_through()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    opened.context.close()


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => {
      v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const seen = new Map();
  for (const e of document.querySelectorAll("main *, nav *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest("svg, .canvas, script, .hidden")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) seen.set(`${e.tagName}.${e.className}`, ratio.toFixed(2));
  }
  return [...seen];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_would_have_too_little_contrast(
    browser: playwright.Browser, page_file: Path, scheme: str
) -> None:
    """WCAG 2.2 AA: 4.5 to 1."""
    opened = Opened(browser, page_file, color_scheme=scheme)
    assert opened.page.evaluate(CONTRAST) == []
    opened.context.close()


def test_everything_that_acts_would_be_out_of_the_keyboards_reach(opened: Opened) -> None:
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.className") == "skip"
    outline = opened.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    unreachable = opened.page.evaluate(
        "[...document.querySelectorAll('button, select, a[href], .scroll')]"
        ".filter((e) => e.tabIndex < 0).length"
    )
    assert unreachable == 0


def point_of(opened: Opened, canvas: str, meta: str = "trials") -> tuple[list[float], str]:
    """Where the first point of a trial is drawn in the window, and the trial's key."""
    opened.page.locator(f"[id='{canvas}']").scroll_into_view_if_needed()
    opened.page.locator(f"[id='{canvas}'] .main-svg").first.wait_for()
    opened.page.wait_for_timeout(1500)  # neighbours are drawn and move nothing any more
    place = opened.page.evaluate(
        """([id, meta]) => {
          const plot = document.getElementById(id), box = plot.getBoundingClientRect();
          const { xaxis, yaxis } = plot._fullLayout;
          for (const trace of plot.data.filter((each) => each.meta === meta)) {
            for (let i = trace.x.length - 1; i >= 0; i--) {
              if (trace.y[i] === null || trace.y[i] === undefined) continue;
              const [x, y] = [xaxis.d2p(trace.x[i]), yaxis.d2p(trace.y[i])];
              if (x < 8 || y < 8 || x > xaxis._length - 8 || y > yaxis._length - 8) continue;
              return [box.x + xaxis._offset + x, box.y + yaxis._offset + y, trace.text[i]];
            }
          }
          return null;
        }""",
        [canvas, meta],
    )
    assert place is not None
    return place[:2], place[2]


def marked(opened: Opened) -> dict[str, set[str]]:
    """What each drawn chart marks: the keys of the points that lie where its last trace does."""
    pairs = opened.page.evaluate(
        """() => [...document.querySelectorAll(".canvas[data-picks]")].map((plot) => {
          const mark = plot.data[plot.data.length - 1];
          const places = new Set(mark.x.map((x, i) => `${x} ${mark.y[i]}`));
          return [plot.id, plot.data.filter((each) => each.meta === "trials").flatMap((trace) =>
            trace.text.filter((_, i) =>
              trace.y[i] !== null && places.has(`${trace.x[i]} ${trace.y[i]}`)))];
        })"""
    )
    return {name: set(keys) for name, keys in pairs if keys}


def test_a_point_that_is_picked_is_picked_in_all_charts_with_its_run_and_commands(
    browser: playwright.Browser, page_file: Path
) -> None:
    opened = Opened(browser, page_file, viewport={"width": 1280, "height": 900})
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = opened.page
    opened.scroll_through()
    canvas = page.locator(".canvas[id*='plot-slice_']").first.get_attribute("id")
    assert canvas is not None
    place, _ = point_of(opened, canvas)
    page.mouse.click(*place)
    bar = page.locator("#picked")
    bar.wait_for(state="visible")
    key = bar.locator("strong").inner_text().removeprefix("Trial ")
    charts = marked(opened)
    assert len([name for name in charts if "plot-slice_" in name]) > 2
    assert any("learning_curves" in name for name in charts)
    assert any("rate" in name for name in charts)
    assert all(key in keys for keys in charts.values())
    run = bar.locator(".run").inner_text()
    assert run == results_of("whole").set_index("trial").loc[key, "run_id"]
    bar.get_by_role("button", name="reproduce").click()
    bar.locator(".said", has_text="Copied: ").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"python -m studies.reproduce {key} --study ")
    page.keyboard.press("Escape")
    assert bar.is_hidden()
    assert marked(opened) == {}
    assert opened.complaints == []
    opened.context.close()


def results_of(study: str) -> pd.DataFrame:
    return bulk_studies.results(study).trials


def drag(session: playwright.CDPSession, x: float, y: float, up: int = 200) -> None:
    """A finger that moves up from a place in the window."""
    for kind, moved in [("touchStart", 0), *(("touchMove", up * k // 10) for k in range(1, 11))]:
        points = [{"x": x, "y": y - moved}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_finger_picks_a_point_and_scrolls_over_charts(
    browser: playwright.Browser, page_file: Path
) -> None:
    opened = Opened(
        browser, page_file, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = opened.page
    canvas = page.locator(".canvas[id*='plot-slice_']").first.get_attribute("id")
    assert canvas is not None
    place, _ = point_of(opened, canvas)
    page.touchscreen.tap(*place)
    bar = page.locator("#picked")
    bar.wait_for(state="visible")
    key = bar.locator("strong").inner_text().removeprefix("Trial ")
    assert all(key in keys for keys in marked(opened).values())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    session = opened.context.new_cdp_session(page)
    before = page.evaluate("scrollY")
    drag(session, *place)
    assert page.evaluate("scrollY") > before + 50
    opened.context.close()


def test_a_row_of_a_table_picks_its_trial_and_lets_it_go(opened: Opened) -> None:
    button = opened.page.locator("button.pick-trial").first
    button.focus()
    opened.page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    figure = opened.page.locator("article:has(button.pick-trial) figure.parallel").first
    assert figure.locator("path.on").get_attribute("data-trial") == button.inner_text()
    opened.page.keyboard.press("Enter")
    assert opened.page.locator("#picked").is_hidden()
