"""Reports as people see them: in a browser, on a telephone, in the dark, on paper, and by ear."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("altair")
sys.path.insert(0, str(Path(__file__).parent))

import page_samples as samples

from tonne.describe.plan import TrainingPlan
from tonne.errors import BrowserError
from tonne.forecasting import forecast
from tonne.report.page import of_forecast, of_project, of_run
from tonne.report.page.formats import text_of
from tonne.report.page.language import LANGUAGES
from tonne.report.page.pdf import QUIET, browser, pdf

pytestmark = pytest.mark.slow
SUBJECTS = {
    "gpu": lambda: of_run(samples.gpu_run()),
    "cpu": lambda: of_run(samples.cpu_run()),
    "plan": lambda: of_forecast(samples.planned(), ["tonne forecast plan.toml"]),
    "project": lambda: of_project("base-models", samples.project_runs()),
}
EXAMPLES = Path(__file__).parents[3] / "examples"
TELEPHONE = {"width": 390, "height": 844}
OUTSIDE = """() => [...document.querySelectorAll('main *')]
    .filter(part => !part.closest('.scroll') && !part.closest('svg'))
    .filter(part => part.getBoundingClientRect().right > innerWidth + 1)
    .map(part => part.outerHTML.slice(0, 100))"""
TOUCHING = """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
    const texts = [...chart.querySelectorAll('text')].filter(text => text.textContent.trim())
        .map(text => ({said: text.textContent, at: text.getBoundingClientRect()}));
    const near = (a, b) => a.left < b.right + 3 && b.left < a.right + 3 && a.top < b.bottom - 2 && b.top < a.bottom - 2;
    return texts.flatMap((a, i) => texts.slice(i + 1).filter(b => near(a.at, b.at)).map(b => [a.said, b.said]));
})"""
A4_POINTS = (595, 842)


@pytest.fixture(scope="module")
def program():
    """The browser that is installed; without one, these tests are skipped, or fail where all services are required."""
    try:
        return browser(os.environ.get("TONNE_BROWSER"))
    except BrowserError as error:
        if os.environ.get("TONNE_REQUIRE_SERVICES") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    for name, make in SUBJECTS.items():
        subject = make()
        for language in LANGUAGES:
            (folder / f"{name}-{language}.html").write_text(text_of(subject, "html", language), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def chromium(program):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        flags = [flag for flag in QUIET if flag != "--headless"]
        with closing(started.chromium.launch(executable_path=program, args=flags)) as opened:
            yield opened


@pytest.fixture
def opened(chromium, files):
    """Opens a report from disk with the network cut off; its requests are kept, and scripts of its own never run."""
    contexts = []

    def open_report(name, *, scheme="light", size=None, scripts=True):
        context = chromium.new_context(
            color_scheme=scheme,
            viewport=size or {"width": 1200, "height": 900},
            offline=True,
            java_script_enabled=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        page.requests, page.complaints = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.goto((files / f"{name}.html").as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")


@pytest.mark.parametrize(
    ("name", "language", "scheme"),
    [*((name, "en", "light") for name in SUBJECTS), ("gpu", "zh", "light"), ("project", "zh", "light"),
     *((name, "en", "dark") for name in SUBJECTS), ("gpu", "zh", "dark")],
)  # fmt: skip
def test_axe_finds_nothing_to_complain_of(opened, name, language, scheme):
    """All rules of axe-core, its advice on best practice among them."""
    axe = pytest.importorskip("axe_core_python")
    page = opened(f"{name}-{language}", scheme=scheme)
    unfold(page)
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    told = [(rule["id"], [node["html"][:200] for node in rule["nodes"]][:3]) for rule in found["violations"]]
    assert not told
    assert len(found["passes"]) > 20


@pytest.mark.parametrize("name", SUBJECTS)
def test_nothing_but_the_file_is_asked_for(opened, files, name):
    page = opened(f"{name}-en")
    assert page.requests == [(files / f"{name}-en.html").as_uri()]
    assert not page.complaints  # a style that the page's own policy forbids would be one


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_telephone_shows_all_of_it_without_scrolling_sideways(opened, name, language):
    page = opened(f"{name}-{language}", size=TELEPHONE)
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"]
    outside = page.evaluate(OUTSIDE)
    assert not outside


def test_letters_of_charts_are_large_enough_on_a_telephone(opened):
    page = opened("gpu-en", size=TELEPHONE)
    heights = page.evaluate(
        "[...document.querySelectorAll('svg.chart text')].map(t => t.getBoundingClientRect().height).filter(h => h > 0)"
    )
    assert min(heights) >= 10


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [*SUBJECTS, "gpt-3-175b"])
def test_no_two_texts_of_a_chart_touch(opened, files, name, language):
    if name not in SUBJECTS:
        subject = of_forecast(forecast(TrainingPlan.from_toml(EXAMPLES / f"{name}.toml")))
        (files / f"{name}-{language}.html").write_text(text_of(subject, "html", language), encoding="utf-8")
    assert opened(f"{name}-{language}").evaluate(TOUCHING) == []


def test_dark_is_dark_down_to_the_charts(opened):
    light, dark = (opened("gpu-en", scheme=scheme) for scheme in ("light", "dark"))
    background = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(background) == "rgb(255, 255, 255)"
    assert dark.evaluate(background) == "rgb(20, 24, 29)"
    of_text = "getComputedStyle(document.querySelector('svg.chart text[fill=\"#1f2933\"]')).fill"
    assert light.evaluate(of_text) == "rgb(31, 41, 51)"
    assert dark.evaluate(of_text) == "rgb(230, 237, 243)"


def test_it_is_read_without_scripts(opened):
    page = opened("gpu-zh", scripts=False)
    assert page.locator("h1").inner_text() == "llama-7b"
    assert page.locator("svg.chart").count() == 8


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_prints_on_a_few_pages_of_a4(program, tmp_path, language):
    pypdf = pytest.importorskip("pypdf")
    output = tmp_path / "new" / "report.pdf"
    pdf(text_of(SUBJECTS["gpu"](), "html", language), output, program)
    pages = pypdf.PdfReader(output).pages
    assert len(pages) <= 5
    for page in pages:
        assert tuple(round(float(side)) for side in page.mediabox[2:]) == A4_POINTS
    text = "".join(page.extract_text() for page in pages)
    assert "1.6 MWh" in text
    assert ("Uncertainty budget" if language == "en" else "3,380") in text
