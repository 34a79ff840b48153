"""Reports say what was measured and forecast, and nothing that is not known."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace
from itertools import pairwise
from math import prod
from pathlib import Path

import pytest

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
sys.path.insert(0, str(Path(__file__).parent))

import page_samples as samples

from tonne.documents import plain
from tonne.energy.use import EnergyUse
from tonne.errors import DescriptionError, MissingPackageError
from tonne.estimate import Basis, Estimate
from tonne.ledger.records import IMPORTED, Series
from tonne.reference.grid_hours import hour_profile
from tonne.reference.grids import grid
from tonne.report.page import html as html_room
from tonne.report.page import of_forecast, of_project, of_run, page_of
from tonne.report.page.against import pairs
from tonne.report.page.blocks import Cards, Formula, Picture, Table, Text
from tonne.report.page.coefficients import coefficients, factors_behind
from tonne.report.page.drawing import save, svg
from tonne.report.page.figures import document, figures_of, runs_of, table
from tonne.report.page.formats import format_named, text_of
from tonne.report.page.grid_hours import grid_hours
from tonne.report.page.html import equation_markup, html
from tonne.report.page.language import LANGUAGES, change, pretty, shown, words_of
from tonne.report.page.markdown import markdown
from tonne.report.page.over_time import thinned
from tonne.report.page.palette import DARK, INK, MUTED
from tonne.report.page.parts import disjoint_kwh, parts_kwh
from tonne.report.page.pictures import Band, against_chart
from tonne.report.page.project import energy_by_purpose
from tonne.report.page.quantities import EVERY, HEADLINE, SHARE, estimate_at
from tonne.report.page.unknown import unknown
from tonne.report.page.what_if import changes

SUBJECTS = {
    "gpu": lambda: of_run(samples.gpu_run()),
    "cpu": lambda: of_run(samples.cpu_run()),
    "plan": lambda: of_forecast(samples.planned(), ["tonne forecast plan.toml"]),
    "project": lambda: of_project("base-models", samples.project_runs()),
}
SIZES = {  # of the units that the samples are shown in, as the field's unit
    "d": 86_400, "min": 60, "h": 1, "s": 1, "MWh": 1000, "kWh": 1, "Wh": 1e-3, "t": 1000, "kg": 1, "g": 1e-3,
    "m³": 1000, "L": 1,
    "USD": 1, "million USD": 1e6, "天": 86_400, "分钟": 60, "小时": 1, "秒": 1, "吨": 1000, "千克": 1, "克": 1e-3,
    "立方米": 1000,
    "升": 1, "美元": 1, "万美元": 1e4, "万小时": 1e4,
}  # fmt: skip


@pytest.fixture(scope="module")
def pages():
    made = {name: make() for name, make in SUBJECTS.items()}
    return {(name, lang): page_of(subject, lang) for name, subject in made.items() for lang in LANGUAGES}


@pytest.fixture(scope="module")
def files(pages):
    return {key: html(page) for key, page in pages.items()}


def blocks(page, kind):
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


# words


def test_both_catalogues_have_the_same_keys_and_the_same_blanks():
    english, chinese = (words_of(language).texts for language in LANGUAGES)
    assert set(english) == set(chinese)
    for key, text in english.items():
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", chinese[key])), key


def test_every_key_that_the_code_names_is_in_the_catalogues():
    room = Path(html_room.__file__).parent
    named = {
        key for path in room.glob("*.py") for key in re.findall(r"words\.of\(\s*\"([^\"]+)\"", path.read_text("utf-8"))
    }
    assert len(named) > 80
    assert named <= set(words_of("en").texts)


@pytest.mark.slow
def test_a_chinese_page_holds_no_english_sentence_of_the_catalogue(files):
    english, chinese = words_of("en").texts, words_of("zh").texts
    sentences = [t for k, t in english.items() if len(t) > 14 and "{" not in t and t != chinese[k]]
    assert len(sentences) > 100
    for name in SUBJECTS:
        text = re.sub(r'<(\w+)[^>]* lang="en">.*?</\1>', "", files[name, "zh"])
        assert not [sentence for sentence in sentences if f">{sentence}" in text], name


def test_a_language_without_a_catalogue_is_an_error_that_names_those_that_have_one():
    with pytest.raises(DescriptionError, match=r"'fr' is no language of reports. Use en or zh"):
        page_of(of_run(samples.cpu_run()), "fr")


def test_every_letter_of_every_formula_has_words(pages):
    for page in pages.values():
        for formula in blocks(page, Formula):
            assert formula.letters, formula.title
            assert not [
                m for _, m in formula.letters if "_" in m or (page.language == "zh-CN" and m.isascii() and m != "PUE")
            ]


# numbers


def parsed(text: str, path: str) -> float:
    """A number with a unit as the field's plain number: the way back, written apart from the way there."""
    hours = 3600 if path == "duration_s" else 1
    number, _, unit = text.replace(",", "").partition(" ")
    return float(number) * SIZES[unit] * (hours if unit in {"h", "小时"} else 1)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_headline_figure_parses_back_to_the_accounts(pages, name, language):
    account = SUBJECTS[name]().account
    figures = blocks(pages[name, language], Cards)[0].figures
    assert len(figures) == len(HEADLINE)
    for quantity, figure in zip(HEADLINE, figures, strict=True):
        estimate = estimate_at(account, quantity.path)
        assert figure.unknown == (estimate is None)
        if estimate is not None and estimate.value:
            assert parsed(figure.value, quantity.path) == pytest.approx(
                estimate.value, rel=0.05
            )  # two digits: half of 1 in 10
            if figure.interval not in {"exact", "精确值"}:
                low, high = re.split(r" to | 至 ", figure.interval)
                unit = high.partition(" ")[2]
                assert parsed(f"{low} {unit}", quantity.path) == pytest.approx(estimate.low, rel=0.05)
                assert parsed(high, quantity.path) == pytest.approx(estimate.high, rel=0.05)


def test_figures_are_those_of_the_account_in_units_that_read_well(pages):
    text = {f.label: (f.value, f.interval, f.cell.basis) for f in blocks(pages["gpu", "en"], Cards)[0].figures}
    assert text["Energy, at the building's meter"] == ("1.6 MWh", "1.5 to 1.7 MWh", "modelled")
    assert text["Duration"] == ("1.00 d", "exact", "measured")
    assert text["CO2e of the electricity, by contract"] == ("31 kg", "29 to 34 kg", "modelled")
    assert text["CO2e of making the hardware"] == ("26 kg", "12 to 55 kg", "assumed")
    assert text["Water"] == ("2.7 m³", "2.1 to 3.6 m³", "modelled")


def test_chinese_counts_by_ten_thousands():
    hours = Estimate(value=4_117_137.0, low=2.1e6, high=8.5e6, basis=Basis.ASSUMED)
    quantity = next(q for q in HEADLINE if q.path == "accelerator_hours")
    assert shown(hours, quantity.units, words_of("zh")).value == "410 万小时"
    assert shown(hours, quantity.units, words_of("en")).value == "4.1 million h"


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.0, "±0 %"), (0.0004, "±0 %"), (0.00094, "+0.1 %"), (-0.873, "−87 %"), (1.714, "+170 %")]
)
def test_a_difference_carries_its_sign_and_two_digits(ratio, text):
    assert change(ratio) == text


def test_powers_of_ten_are_written_as_people_write_them():
    assert pretty("3.14e23") == "3.14 × 10²³"
    assert pretty("1.2e-05") == "1.2 × 10⁻⁵"


def test_equations_show_letters_slanted_and_names_upright():
    assert str(equation_markup("E = E_IT PUE")) == "<var>E</var> = <var>E</var><sub>IT</sub> PUE"
    assert str(equation_markup("a < b")) == "<var>a</var> &lt; <var>b</var>"


# what is unknown


@pytest.mark.slow
@pytest.mark.parametrize("key", [(n, lang) for n in SUBJECTS for lang in LANGUAGES], ids=str)
def test_no_page_says_nan_none_or_infinity(pages, files, key):
    for text in (re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", files[key], flags=re.DOTALL), markdown(pages[key])):
        assert not re.search(r"\b(?:nan|NaN|None|null|inf|undefined)\b", text)
    assert not re.search(r">(?:NaN|null|undefined|None)<", files[key])


@pytest.mark.slow
def test_what_is_unknown_says_why(files):
    text = files["cpu", "en"]
    assert "because no place was given: neither a grid zone, such as FR, nor a cloud region" in text
    assert "The difference is unknown because no forecast was kept before this run began" in text
    assert "unknown because nobody said it; tonne runs tag does" in text
    assert "unknown because no sensor read anything" in text
    assert "Energy so far is unknown because none was told beside the losses" in text


def test_what_was_left_out_and_what_rests_on_unknown_energy_have_their_own_reasons():
    words, subject = words_of("en"), of_run(samples.cpu_run())
    assert unknown(subject, "energy.network_kwh", words) == "unknown because it was not counted"
    without = replace(subject.run, account=replace(samples.cpu_account(), energy=replace(
        samples.cpu_account().energy, facility_kwh=None)))  # fmt: skip
    assert unknown(of_run(without), "water_l", words) == "unknown because the energy is unknown"
    imported = replace(without, kind=IMPORTED, account=samples.cpu_account())
    assert "the file that it was read from does not say it" in unknown(of_run(imported), "cost_usd", words)
    bare = of_run(replace(without, account=None))
    assert unknown(bare, "duration_s", words) == "unknown because nothing is known of what it used"
    assert page_of(bare).title == without.name


# what it says


def test_parts_add_up_to_the_building():
    parts = dict(disjoint_kwh(samples.gpu_account()))
    assert parts == {
        "accelerators_kwh": 1000.0,
        "cpu_kwh": 120.0,
        "memory_kwh": 40.0,
        "host_rest_kwh": 140.0,
        "overhead": 260.0,
    }
    assert sum(parts.values()) == 1560.0


def test_hosts_whose_parts_are_unknown_are_one_part():
    account = samples.planned().account
    parts = dict(disjoint_kwh(account))
    assert set(parts) == {"accelerators_kwh", "hosts_kwh", "network_kwh", "overhead"}
    assert sum(parts.values()) == pytest.approx(account.energy.facility_kwh.value)


def test_a_measured_figure_is_inside_or_outside_of_its_forecast():
    run = samples.gpu_run()
    facility = Estimate(value=1300.0, low=1200.0, high=1500.0, basis=Basis.MODELLED)
    foretold = replace(run.forecast, energy=replace(run.forecast.energy, facility_kwh=facility))
    pair = next(p for p in pairs(of_run(replace(run, forecast=foretold, plan=None))) if "kwh" in p.quantity.path)
    assert pair.ratio == pytest.approx(1560 / 1300)
    assert pair.place == "above"


def test_factors_multiply_to_the_difference(pages):
    for language in LANGUAGES:
        picture = next(p for p in pages["gpu", language].pictures() if p.key == "why-it-differs")
        foretold = samples.planned().account.carbon.operational_location_kgco2e.value
        product = prod(float(row[3].text.removeprefix("× ")) for row in picture.table.rows)
        assert product == pytest.approx(546.0 / foretold, rel=0.01)  # of eight factors of three digits
        names = [row[0].text for row in picture.table.rows]
        assert names == [words_of(language).of(f"factor.{name}") for name in (
            "tokens", "flop_per_token", "flop_per_s", "goodput", "servers_w", "it_over_servers", "pue",
            "grid_gco2e_per_kwh")]  # fmt: skip


def test_a_run_that_goes_on_is_not_taken_apart():
    run = replace(samples.gpu_run(), status="running", ended_unix_s=None, plan=None)
    keys = [picture.key for picture in page_of(of_run(run)).pictures()]
    assert "why-it-differs" not in keys
    assert "forecast-against-measured" in keys


def test_a_projects_figures_are_the_sums_of_its_runs_without_its_forecasts():
    subject = SUBJECTS["project"]()
    energy = subject.account.energy.facility_kwh
    share = 1 + 4 * 0.05 + 0.2  # the final run, four of the sweep, the failed one
    assert energy.value == pytest.approx(1560 * share)
    assert (energy.low, energy.high) == (pytest.approx(1460 * share), pytest.approx(1720 * share))
    assert subject.account.carbon.operational_location_kgco2e.value == pytest.approx(546 * share)
    assert subject.known["energy.facility_kwh"] == 6
    assert len(subject.counted) == 7


def test_what_a_building_adds_is_that_of_the_runs_that_know_it():
    def run(name, **energy):
        known = {key: samples.est(value) for key, value in energy.items()}
        account = replace(samples.cpu_account(), energy=EnergyUse(**known))
        return replace(samples.cpu_run(), id=name, name=name, account=account)

    imported, own = run("imported", facility_kwh=5.0), run("own", cpu_kwh=10.0, it_kwh=10.0, facility_kwh=12.0)
    # 17 kWh of buildings less 10 kWh of IT is no overhead: of five nobody knows what was in them
    assert parts_kwh(of_project("p", [imported, own])) == [("cpu_kwh", 10.0), ("overhead", pytest.approx(2.0))]


def test_other_grids_of_a_project_are_beside_that_of_the_runs_whose_place_is_known():
    known = replace(samples.gpu_run(), plan=None, forecast=None)
    carbon = replace(known.account.carbon, operational_location_kgco2e=None)
    nowhere = replace(known, id="nowhere", site=None, account=replace(known.account, carbon=carbon))
    [alone, both] = [{one.name: one.carbon for one in changes(of_project("p", runs), words_of("en"))}
                     for runs in ([known], [known, nowhere])]  # fmt: skip
    assert alone["grid of France"].value == pytest.approx(
        grid("FR").record.gco2e_per_kwh / 350.0 - 1
    )  # 546 kg, 1560 kWh
    assert both == alone


def test_failed_runs_are_lost_whatever_they_were_for():
    found = energy_by_purpose(SUBJECTS["project"](), words_of("en"))
    assert found == {"final run": 1560.0, "sweep": pytest.approx(312.0), "failed": pytest.approx(312.0)}


@pytest.mark.slow
def test_the_page_of_a_project_says_of_how_many_runs_a_sum_is(files):
    assert "Of 6 of 7 runs; the others&#39; is unknown." in files["project", "en"]
    assert "The figures above are the sum of 7 runs" in files["project", "en"]


def test_a_run_without_a_plan_is_compared_with_its_energy_on_other_grids():
    run = replace(samples.gpu_run(), plan=None, forecast=None)
    found = {one.name: one.carbon for one in changes(of_run(run), words_of("en"))}
    here = 546.0 / 1560.0 * 1000  # g/kWh
    france, germany = grid("FR").record, grid("DE").record
    moved = found["grid of France"]
    assert moved.value == pytest.approx(france.gco2e_per_kwh / here - 1)
    # both grids are uncertain and independent of each other; the energy is the same and cancels
    down = math.hypot(math.log(france.gco2e_per_kwh / france.low), math.log(germany.high / germany.gco2e_per_kwh))
    up = math.hypot(math.log(france.high / france.gco2e_per_kwh), math.log(germany.gco2e_per_kwh / germany.low))
    assert moved.low == pytest.approx(france.gco2e_per_kwh / here * math.exp(-down) - 1)
    assert moved.high == pytest.approx(france.gco2e_per_kwh / here * math.exp(up) - 1)


def test_a_project_on_two_grids_moves_without_an_interval():
    runs = [replace(samples.gpu_run(), plan=None), replace(samples.gpu_run(), id="b", plan=None, site={"grid": "PL"})]
    found = changes(of_project("p", runs), words_of("en"))
    assert found
    assert all(one.carbon.low is None for one in found)


def test_changes_of_a_plan_have_the_interval_of_the_pair():
    subject = of_forecast(samples.planned())
    found = {one.name: one for one in changes(subject, words_of("en"))}
    moved = found["grid of France"]
    ratio = grid("FR").record.gco2e_per_kwh / grid("DE").record.gco2e_per_kwh
    assert moved.carbon.value == pytest.approx(ratio - 1)
    # energy, of which the forecast knows a third at best, cancels; each grid's ends are 10 % to either side
    assert moved.carbon.low == pytest.approx(ratio * 0.9 - 1, abs=0.02)
    assert moved.carbon.high == pytest.approx(ratio * 1.1 - 1, abs=0.02)
    assert (moved.energy.value, moved.energy.low, moved.energy.high) == (0, 0, 0)
    capped = found["cap at 560 W"]
    assert capped.energy.low < 0 < capped.energy.high
    assert capped.energy.text(words_of("en")).endswith("), not distinguishable")
    assert moved.energy.text(words_of("en")) == "±0 %"


def test_what_if_of_a_measured_run_says_that_it_is_about_forecasts(pages):
    def leads(name, language):
        section = next(section for section in pages[name, language].sections if section.key == "what-if")
        return section.blocks[0].text

    assert "not beside what was measured" in leads("gpu", "en")
    assert "而不是与实测值相比" in leads("gpu", "zh")
    assert "measured" not in leads("plan", "en")


def test_typical_hours_of_a_grid_are_its_factor_times_its_profile():
    run = replace(samples.gpu_run(), series=Series())
    found = grid_hours(run)
    profile, factor = hour_profile("DE"), grid("DE").record.gco2e_per_kwh
    assert len(found.time_s) == 24
    assert found.gco2e_per_kwh[0] == pytest.approx(factor * profile.relative[11, 12])  # begun in November, at noon
    assert found.gco2e_per_kwh[13] == pytest.approx(factor * profile.relative[11, 1])
    assert found.typical_of == profile.year


def test_lines_of_no_sensor_say_so(pages):
    """The GPU run read its boards and processors; memory and the processor of the small run were modelled."""

    def told(page):
        return [b.text for s in page.sections if s.key == "over-time" for b in s.blocks if isinstance(b, Text)]

    assert "No sensor read processors: modelled from how busy they were." in told(pages["cpu", "en"])
    assert "没有传感器读取处理器：按繁忙程度估算。" in told(pages["cpu", "zh"])
    assert not [text for text in told(pages["gpu", "en"]) if text.startswith("No sensor read")]
    bare = of_run(replace(samples.cpu_run(), series=Series()))
    assert "Power over time is unknown because no sensor of this machine reads power." in told(page_of(bare))


def test_no_place_has_no_hours():
    assert grid_hours(samples.cpu_run()) is None


def test_a_long_table_is_thinned_evenly_with_its_ends():
    rows = thinned(1000)
    assert (len(rows), rows[0], rows[-1]) == (40, 0, 999)
    assert thinned(7) == list(range(7))


def test_coefficients_of_a_measured_run_are_those_of_its_place_and_hardware():
    found = factors_behind(samples.gpu_run())
    assert found["pue"].value == 1.2
    assert found["grid_gco2e_per_kwh"].value == grid("DE").record.gco2e_per_kwh
    assert {"embodied_card_kgco2e", "lifetime_years", "usd_per_accelerator_hour", "wue_l_per_kwh"} <= set(found)


def test_each_coefficient_has_value_interval_unit_basis_and_source():
    rows = coefficients(SUBJECTS["plan"](), words_of("en")).blocks[0].rows
    assert len(rows) > 10
    for row in rows:
        assert all(cell.text for cell in row), row[0].text
    by_name = {row[0].text: row for row in rows}
    assert by_name["grid intensity"][3].text == "g/kWh"
    assert by_name["hours between failures"][5].text.startswith("The Llama 3 Herd of Models (2024)")
    assert by_name["hours between failures"][6].text == "2024"


# as HTML


@pytest.mark.slow
@pytest.mark.parametrize("key", [(n, lang) for n in SUBJECTS for lang in LANGUAGES], ids=str)
def test_the_file_loads_nothing_and_runs_nothing(files, key):
    text = files[key]
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "<script" not in text
    assert not re.search(r"\ssrc=|@import|<link|<iframe|<object|\son\w+=", text)
    assert set(re.findall(r"url\((.)", text)) <= {"#"}


@pytest.mark.slow
def test_names_are_escaped_everywhere(files, pages):
    for language in LANGUAGES:
        assert "<b>&amp;" not in files["cpu", language]
        assert "gpt-small &lt;b&gt;&amp;amp; &#39;co&#39;&lt;/b&gt;" in files["cpu", language]
        assert "<b>" not in markdown(pages["cpu", language])


@pytest.mark.slow
def test_a_hostile_part_name_stays_text_in_a_drawing():
    run = samples.cpu_run()
    series = replace(run.series, power_w={'"><script>alert(1)</script>': (1.0,) * 75, "cpu": (2.0,) * 75})
    text = html(page_of(of_run(replace(run, series=series))))
    assert "<script" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_every_chart_has_a_title_a_description_and_its_numbers(pages, files, name):
    pictures = pages[name, "en"].pictures()
    assert len(pictures) >= 3
    for picture in pictures:
        drawn = svg(picture)
        assert 'role="img"' in drawn
        assert f'<title id="{picture.key}-title">' in drawn
        assert len(picture.description) > 20
        assert picture.table.rows
    ids = re.findall(r'\sid="([^"]+)"', files[name, "en"])
    assert len(ids) == len(set(ids))


def test_the_measured_run_has_all_its_charts(pages):
    keys = [picture.key for picture in pages["gpu", "en"].pictures()]
    assert keys == ["forecast-against-measured", "why-it-differs", "energy-by-part", "time-by-stage", "power-over-time",
                    "loss-over-energy", "what-if", "uncertainty-budget"]  # fmt: skip


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_of_charts_stand_out_on_white_and_on_dark():
    for light, dark in DARK.items():
        if light != "#e4e7eb":  # lines of the grid are there to be overlooked
            needed = 4.5 if light in {INK, MUTED} else 3.0
            assert contrast(light, "#ffffff") >= needed, light
            assert contrast(dark, "#14181d") >= needed, dark


@pytest.mark.slow
def test_every_colour_of_a_chart_has_its_dark_twin(pages):
    for name in SUBJECTS:
        for picture in pages[name, "en"].pictures():
            used = set(re.findall(r'(?:fill|stroke)="(#[0-9a-fA-F]{3,6})"', svg(picture)))
            assert used <= set(DARK), picture.key


@pytest.mark.slow
def test_charts_are_written_as_svg_and_png(pages, tmp_path):
    picture = next(p for p in pages["gpu", "zh"].pictures() if p.key == "what-if")
    paths = save(picture, tmp_path / "charts")
    assert [path.name for path in paths] == ["what-if.svg", "what-if.png"]
    assert paths[0].read_text("utf-8").startswith("<svg")
    assert paths[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_jinja_the_error_names_the_extra(pages, monkeypatch):
    html_room._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'tonne\[report\]'"):
        html(pages["cpu", "en"])
    html_room._environment.cache_clear()


# as Markdown and as data


def test_markdown_tables_have_as_many_cells_as_heads(pages):
    for page in pages.values():
        lines = [line for line in markdown(page).splitlines() if line.startswith("|")]
        assert lines
        for before, line in pairwise(lines):
            if re.fullmatch(r"[|:-]+", line):
                width = len(re.findall(r"(?<!\\)\|", line))
                assert len(re.findall(r"(?<!\\)\|", before)) == width
    assert "Loss against energy" in markdown(pages["gpu", "en"])
    assert "损失与能耗" in markdown(pages["gpu", "zh"])


@pytest.mark.parametrize("name", SUBJECTS)
def test_json_comes_back_as_the_same_runs(name):
    subject = SUBJECTS[name]()
    fields = json.loads(json.dumps(document(subject), allow_nan=False))
    back = runs_of(fields)
    assert [plain(run) for run in back] == [plain(run) for run in subject.runs]
    assert back[0].account.energy.facility_kwh == subject.runs[0].account.energy.facility_kwh


def test_a_document_of_another_version_says_so():
    with pytest.raises(DescriptionError, match=r"schema_version='99' cannot be read"):
        runs_of({"schema_version": "99", "run": {}})
    with pytest.raises(DescriptionError, match="neither a run nor runs"):
        runs_of({"schema_version": "1"})


@pytest.mark.parametrize("name", SUBJECTS)
def test_csv_comes_back_as_the_same_figures(name):
    subject = SUBJECTS[name]()
    found = figures_of(table(subject))
    run = subject.runs[0]
    for path in ("energy.facility_kwh", "carbon.operational_location_kgco2e", "duration_s"):
        wanted = estimate_at(run.account, path)
        assert ((run.id, path) in found) == (wanted is not None)
        if wanted is not None:
            got = found[run.id, path]
            assert (got.value, got.low, got.high, got.basis) == (wanted.value, wanted.low, wanted.high, wanted.basis)


def test_csv_of_a_project_begins_with_its_sum_and_no_cell_is_a_formula():
    subject = of_project("=HYPERLINK()", samples.project_runs())
    lines = table(subject).splitlines()
    assert lines[0] == "run,quantity,value,low,high,unit,basis,source"
    assert lines[1].startswith("'=HYPERLINK(),duration_s,")
    assert not [line for line in lines if line.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize(
    ("name", "output", "found"),
    [(None, None, "html"), (None, "a/report.MD", "md"), ("csv", "x.html", "csv"), (None, "x.pdf", "pdf")],
)
def test_the_format_is_the_one_named_or_that_of_the_suffix(name, output, found):
    assert format_named(name, output) == found


def test_a_format_that_is_none_says_which_there_are():
    with pytest.raises(DescriptionError, match=r"--format 'docx' is none. Use one of html, md, json, csv, pdf"):
        format_named("docx", None)
    with pytest.raises(DescriptionError, match=r"--output a/report.docx: no report is written as .docx. Use .html, "):
        format_named(None, "a/report.docx")
    assert format_named("md", "a/report.txt") == "md"


def test_markdown_and_data_need_no_charts(monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    for name in ("md", "json", "csv"):
        assert text_of(of_run(samples.gpu_run()), name)
    with pytest.raises(MissingPackageError, match="Charts need Altair and vl-convert"):
        text_of(of_run(samples.gpu_run()), "html")


@pytest.mark.slow
def test_each_format_has_a_text():
    subject = SUBJECTS["cpu"]()
    assert text_of(subject, "html", "zh").startswith("<!DOCTYPE html>")
    assert text_of(subject, "md").startswith("# gpt-small")
    assert json.loads(text_of(subject, "json"))["run"]["id"] == subject.run.id


def test_tables_have_no_empty_heads_and_rows_of_one_width(pages):
    for page in pages.values():
        for one in [*blocks(page, Table), *(picture.table for picture in blocks(page, Picture))]:
            assert all(one.heads)
            assert {len(row) for row in one.rows} <= {len(one.heads)}


def test_shares_are_percentages():
    half = Estimate(value=0.5, low=0.4, high=0.6, basis=Basis.MODELLED)
    assert shown(half, SHARE, words_of("en")).value == "50 %"


def without(account, path: str):
    """The account with one of its figures unknown."""
    name, _, inner = path.partition(".")
    return replace(account, **{name: without(getattr(account, name), inner) if inner else None})


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_any_figure_may_be_unknown(language):
    """Each figure in turn, and all of them together."""
    run = replace(samples.gpu_run(), plan=None)
    account = run.account
    for quantity in EVERY:
        account = without(account, quantity.path)
        alone = [without(run.account, quantity.path)] if language == "en" else []
        for kept in (*alone, account):
            text = markdown(page_of(of_run(replace(run, account=kept)), language))
            assert not re.search(r"\b(?:nan|NaN|None|inf)\b", text), quantity.path


def test_a_measurement_whose_interval_reaches_zero_is_drawn_to_the_edge():
    band = Band(name="Water", low=0.0, high=2.0, measured=0.5, measured_low=-0.1, measured_high=1.0, text="−50 %")
    record = against_chart([band], words_of("en")).to_dict()["layer"][0]
    found = record.get("data") or against_chart([band], words_of("en")).to_dict()["data"]
    assert found["values"][0]["low"] == 0.5
    assert found["values"][0]["from"] == 0.5


@pytest.mark.slow
def test_a_project_of_many_runs_shows_the_newest_and_counts_them_all():
    many = [replace(samples.cpu_run(), id=f"run-{i}", account=samples.cpu_account(i + 1.0)) for i in range(300)]
    subject = of_project("many", many)
    page = page_of(subject)
    assert subject.account.energy.facility_kwh.value == pytest.approx(0.00088 * 300 * 301 / 2)
    tables = [one for one in blocks(page, Table) if len(one.rows) == 200]
    assert len(tables) == 2  # runs, evidence
    assert tables[0].caption == "The runs: the newest 200 of 300; the figures and the JSON document hold all"
    assert tables[1].rows[-1][1].text == "run-299"


def test_a_forecast_says_its_layout_and_whether_it_fits(pages):
    facts = {row[0].text: row[1].text for row in blocks(pages["plan", "en"], Table)[0].rows}
    needed = samples.planned().memory
    assert parsed_bytes(facts["Memory of the fullest accelerator"]) == pytest.approx(needed.needed.value, rel=0.05)
    assert "Probability that it fits" in facts


def parsed_bytes(text: str) -> float:
    number, unit = text.split(" (")[0].split(" ")
    return float(number) * {"GiB": 2.0**30, "MiB": 2.0**20}[unit]
