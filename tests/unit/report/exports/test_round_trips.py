"""Each text says the numbers that it was made of: read back, they are those of the account, as far as digits go."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tonne.documents import plain
from tonne.ledger.records import Evidence, Work
from tonne.report.exports.cells import plain_number
from tonne.report.exports.data import quantities_of, read_csv, read_json
from tonne.report.exports.formats import FORMATS, exported
from tonne.report.exports.forms import template
from tonne.report.exports.subject import Declared, Subject

DAY_S = 86_400.0
UNITS = {  # to the unit of the number behind the cell
    "GWh": 1e6, "MWh": 1e3, "kWh": 1.0, "Wh": 1e-3, "kt": 1e6, "t": 1e3, "kg": 1.0, "g": 1e-3, "mg": 1e-6,
    "ML": 1e6, "m3": 1e3, "L": 1.0, "mL": 1e-3,
    "million": 1e6, "d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0,
}  # fmt: skip
NUMBER = r"(-?[\d,]+(?:\.\d+)?(?:e-?\d+)?)"
POSITIVE = st.floats(min_value=1e-6, max_value=1e12, allow_nan=False)
SPREAD = st.sampled_from([0.0, 0.02, 0.049, 0.2, 0.9])


def digits(estimate):
    """Three figures where the interval is narrower than a tenth of the value, else two."""
    return 3 if (estimate.high - estimate.low) / estimate.value <= 0.1 else 2


def to_digits(value, figures):
    return float(f"{value:.{figures - 1}e}")


def first_number(text):
    found = re.match(rf"(?:yes: .*?, )?(?:at least )?{NUMBER} ?([^\s(,;]*)", text)
    assert found, text
    return float(found[1].replace(",", "")), found[2]


def line_of(text, label):
    """What stands after a label, and after whom it is for."""
    line = next(line for line in text.splitlines() if line.startswith(f"- **{label}**"))
    return re.sub(r"^(?: \([A-Z, ]+\))?: ", "", line.removeprefix(f"- **{label}**"))


def fields_of(name):
    return [field for _, fields in template(name).sections for field in fields]


def an_account(account, kwh, kg, spread):
    return account(
        facility_kwh=kwh, it_kwh=kwh * 0.8, servers_kwh=kwh * 0.7, accelerators_kwh=kwh * 0.5, location_kg=kg,
        market_kg=kg * 0.1, embodied_kg=kg * 0.3, water_l=kwh * 2, spread=spread,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["eu-form", "sci", "ghg"])
@settings(max_examples=25)
@given(kwh=POSITIVE, kg=POSITIVE, spread=SPREAD)
def test_forms_with_units_of_their_own_read_back_to_the_number_in_that_unit(run, account, name, kwh, kg, spread):
    subject = Subject(name="demo", runs=(run(account=an_account(account, kwh, kg, spread)),))
    found = exported(subject, name)
    checked = 0
    for field in fields_of(name):
        cell = found.cells[field.key]
        if cell.estimate is None:
            continue
        value, _ = first_number(line_of(found.text, field.label))
        figures = 3 if cell.unit.endswith(("days", "parameters")) else max(digits(cell.estimate), 2)
        figures = 3 if field.key == "inference_flop" else figures
        assert value == pytest.approx(to_digits(cell.estimate.value, figures), rel=1e-9), field.label
        checked += 1
    assert checked >= (6 if name != "ghg" else 1)


@pytest.mark.parametrize("name", ["model-card", "climate-card", "neurips"])
@settings(max_examples=25)
@given(kwh=POSITIVE, kg=POSITIVE, spread=SPREAD)
def test_cards_read_back_to_the_number_of_the_account(run, account, name, kwh, kg, spread):
    mine = an_account(account, kwh, kg, spread)
    found = exported(Subject(name="demo", runs=(run(account=mine),)), name)
    checked = 0
    for field in fields_of(name):
        cell = found.cells[field.key]
        if cell.estimate is None:
            continue
        value, unit = first_number(line_of(found.text, field.label))
        exact = cell.estimate.value / (1.0 if unit == "accelerator-hours" else UNITS[unit])
        assert value == pytest.approx(to_digits(exact, digits(cell.estimate)), rel=1e-9), field.label
        checked += 1
    assert checked >= 3


def test_units_of_the_eu_form_are_megawatt_hours_days_and_flop(run, account):
    # 61,234 kWh of 90 % interval 55,110 to 67,357: two figures; 48 h x 1 = 2 accelerator-days
    mine = account(facility_kwh=61_234.0, it_kwh=50_000.0, servers_kwh=49_000.0, accelerators_kwh=35_000.0)
    work = Work(parameters=6_740_000_000, active_parameters=6_740_000_000, tokens=2 * 10**12, training_flop=8.12e22)
    text = exported(Subject(name="7B", runs=(run(account=mine, work=work),)), "eu-form").text
    assert "61 MWh (90 % interval 55 to 67 MWh; modelled)" in text
    assert "Boundary chip: accelerators alone** (AIO, NCA): 35 MWh" in text
    assert "Boundary node: servers** (AIO, NCA): 49 MWh" in text
    assert "wall clock** (AIO): 2.00 days" in text
    assert "hardware** (AIO): 2.00 accelerator-days" in text
    assert "order of magnitude** (NCA): 10^22 FLOP" in text
    assert "used for training** (AIO): 8.12e22 FLOP" in text
    assert "6.74e9 parameters" in text
    assert "5 to 15 billion" in text
    assert "less than 1 month" in text
    assert "Benchmarked amount of computation used for inference** (AIO, NCA): 1.35e15 FLOP" in text  # 2 P 1e5
    assert "Article 53(1)(a) and Annex XI, Section 1, points 2(d) and 2(e)" in text
    assert "threshold general-purpose, 1.00e23 FLOP: straddled (5.68e22 to 1.06e23 FLOP" in text


def test_methods_of_the_eu_form_have_about_a_hundred_words(run):
    cells = exported(Subject(name="demo", runs=(run(), run("b", purpose="sweep"))), "eu-form").cells
    for key in ("energy_method", "compute_method"):
        assert 60 <= len(cells[key].text.split()) <= 130, key


@settings(max_examples=60)
@given(kg=st.floats(min_value=1e-9, max_value=1e9), spread=SPREAD)
def test_the_hub_reads_a_number_of_grams(run, account, kg, spread):
    text = exported(
        Subject(name="demo", runs=(run(account=account(location_kg=kg, spread=spread)),)), "hugging-face"
    ).text
    read = yaml.safe_load(text.strip().strip("-"))["co2_eq_emissions"]
    assert isinstance(read["emissions"], int | float)
    assert read["emissions"] == pytest.approx(to_digits(kg * 1000, 3 if spread <= 0.05 else 2), rel=0.006)
    assert read["training_type"] == "pre-training"


def test_the_hub_card_is_read_by_its_own_library(run):
    hub = pytest.importorskip("huggingface_hub")
    text = exported(Subject(name="demo", runs=(run(),)), "hugging-face").text
    data = hub.ModelCard(text + "\n# demo\n").data.to_dict()
    assert data["co2_eq_emissions"]["emissions"] == 12_000
    assert data["co2_eq_emissions"]["hardware_used"] == "8 x NVIDIA H100 SXM5 80GB"


def test_kilograms_of_codecarbon_and_grams_of_the_hub_are_the_same_mass(run, account):
    from dataclasses import replace

    mine = account(location_kg=20_400.0, accelerators_kwh=20.0, it_kwh=30.0, facility_kwh=36.0)
    parts = dict.fromkeys(("cpu_kwh", "memory_kwh"), mine.energy.accelerators_kwh)
    energy = replace(mine.energy, **{name: replace(e, value=5.0, low=4.5, high=5.5) for name, e in parts.items()})
    subject = Subject(name="demo", runs=(run(account=replace(mine, energy=energy)),))
    (row,) = csv.DictReader(io.StringIO(exported(subject, "codecarbon").text))
    grams = yaml.safe_load(exported(subject, "hugging-face").text.strip().strip("-"))["co2_eq_emissions"]["emissions"]
    assert float(row["emissions"]) == pytest.approx(20_400.0)
    assert grams == pytest.approx(20_400_000, rel=0.03)  # two figures


def test_codecarbon_rows_come_back_through_our_own_import(run, account, tmp_path):
    from dataclasses import replace

    from tonne.integrations.codecarbon.columns import COLUMNS
    from tonne.integrations.codecarbon.reading import read_codecarbon

    mine = account()
    energy = replace(
        mine.energy,
        cpu_kwh=replace(mine.energy.it_kwh, value=7.0),
        memory_kwh=replace(mine.energy.it_kwh, value=2.0),
    )  # 20 + 7 + 2 = 29 of 30 kWh of IT; PUE 36 / 30 = 1.2
    text = exported(Subject(name="demo", runs=(run(account=replace(mine, energy=energy)),)), "codecarbon").text
    assert tuple(text.splitlines()[0].split(",")) == COLUMNS
    (row,) = csv.DictReader(io.StringIO(text))
    assert float(row["energy_consumed"]) == pytest.approx(29 * 1.2)
    assert float(row["emissions"]) == pytest.approx(12.0 * 29 / 30)
    assert (row["longitude"], row["latitude"], row["country_iso_code"]) == ("", "", "FRA")
    path = tmp_path / "emissions.csv"
    path.write_text(text, encoding="utf-8")
    (read,) = read_codecarbon(path).runs
    assert read.account.energy.it_kwh.value == pytest.approx(29.0)
    assert read.account.energy.facility_kwh.value == pytest.approx(34.8)
    assert read.account.carbon.operational_location_kgco2e.value == pytest.approx(11.6)
    assert read.account.duration_s.value == 172_800


@settings(max_examples=25)
@given(kwh=POSITIVE, kg=POSITIVE, spread=SPREAD)
def test_latex_reads_back(run, account, kwh, kg, spread):
    text = exported(
        Subject(name="a_b & 100 %", runs=(run(account=an_account(account, kwh, kg, spread)),)), "latex"
    ).text
    for begin, exact in (("The energy is", kwh), ("Operational emissions are", kg)):
        value, unit = re.search(rf"{begin} {NUMBER} (\w+)", text).groups()
        figures = 3 if 2 * spread <= 0.1 else 2
        assert float(value.replace(",", "")) == pytest.approx(to_digits(exact / UNITS[unit], figures), rel=1e-9)
    assert r"Training a\_b \& 100 \% on" in text


def test_latex_has_no_character_that_breaks_it(run):
    text = exported(Subject(name=r"$x_1^2 {50%} #a~b\c <d>|", runs=(run(),)), "latex").text
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    words = "backslash|asciitilde|asciicircum|less|greater|bar"
    known = re.sub(r"\\[&%$#_{}]|\\text(?:WORDS)\{\}|\\textsubscript\{2\}".replace("WORDS", words), "", body)
    assert not re.search(r"[&%$#_~^<>|]", known)
    assert known.count("{") == known.count("}")


def test_json_is_rebuilt_to_equal_runs(run):
    runs = (run("a", notes=("a note",)), run("b", purpose=None, links=[("continues", "a")]))
    text = exported(Subject(name="demo", runs=runs, lens="project"), "json").text
    assert [plain(one) for one in read_json(text)] == [plain(one) for one in runs]
    document = json.loads(text)
    assert document["schema_version"] == "1"
    assert document["lens"]["totals"]["facility_kwh"]["value"]["value"] == 72.0


@settings(max_examples=25)
@given(kwh=POSITIVE, kg=POSITIVE, spread=SPREAD)
def test_csv_keeps_every_bit(run, account, kwh, kg, spread):
    one = run(account=an_account(account, kwh, kg, spread))
    read = read_csv(exported(Subject(name="demo", runs=(one,)), "csv").text)
    expected = dict(quantities_of(one))
    assert {name: found for (_, name), found in read.items()} == expected
    assert expected["energy.facility_kwh"] == one.account.energy.facility_kwh


@pytest.mark.parametrize("name", ["csv", "codecarbon"])
def test_no_cell_of_a_table_is_a_formula(run, name):
    evil = run(name='=HYPERLINK("http://x.example";"look")', project="@SUM(A1)")
    table = csv.reader(io.StringIO(exported(Subject(name="d", runs=(evil,)), name).text))
    cells = [cell for row in table for cell in row]
    assert '\'=HYPERLINK("http://x.example";"look")' in cells
    assert "'@SUM(A1)" in cells
    assert not [cell for cell in cells if cell[:1] in {"=", "@"}]


def test_csv_says_what_a_lens_does_with_each_run(run):
    runs = (run("a"), run("b", purpose="sweep"))
    rows = list(csv.DictReader(io.StringIO(exported(Subject(name="d", runs=runs, lens="eu-flop"), "csv").text)))
    assert {(row["run"], row["verdict"]) for row in rows} == {("a", "included"), ("b", "excluded")}


@given(value=st.floats(min_value=1e-30, max_value=1e30), figures=st.integers(min_value=1, max_value=5))
def test_plain_numbers_read_back_with_their_digits(value, figures):
    text = plain_number(value, figures)
    assert float(text) == pytest.approx(to_digits(value, figures), rel=1e-12)
    assert "," not in text
    assert "+" not in text


def test_no_format_prints_not_a_number_for_a_run_of_which_nothing_is_known(run):
    bare = run(account=None, work=Work(), site=None, hardware={}, purpose=None)
    for name in FORMATS:
        found = exported(Subject(name="bare", runs=(bare,)), name)
        assert not re.search(r"\b(nan|NaN|None|inf)\b", found.text), name
        assert found.missing or name in ("csv", "json"), name


def test_a_forecast_is_marked_as_an_estimate_in_every_form(run):
    one = run(kind="forecast", status="forecast")
    for name in ("eu-form", "model-card", "climate-card", "neurips", "sci", "ghg"):
        assert "Estimated: a forecast, not a measurement." in exported(Subject(name="d", runs=(one,)), name).text, name
    assert "is forecast to take" in exported(Subject(name="d", runs=(one,)), "latex").text
    boamps = json.loads(exported(Subject(name="d", runs=(one,), declared=Declared(control="owned")), "boamps").text)
    assert boamps["measures"][0]["measurementMethod"].startswith("tonne, forecast")


def test_boamps_has_what_its_schema_requires(run):
    plan = {"architecture": {"layers": 12}, "training": {"objective": "causal-lm", "precision": "bf16"}}
    subject = Subject(name="d", runs=(run(plan=plan),), declared=Declared(control="cloud", cloud_provider="ovh"))
    found = exported(subject, "boamps")
    report = json.loads(found.text)
    assert found.missing == ()
    assert {"task", "measures", "infrastructure"} <= set(report)
    assert {"taskStage", "taskFamily", "algorithms", "dataset"} <= set(report["task"])
    assert report["header"]["publisher"]["confidentialityLevel"] == "internal"
    assert report["measures"][0]["powerConsumption"] == 36.0
    assert report["infrastructure"]["infraType"] == "publicCloud"
    assert report["infrastructure"]["components"][0]["nbComponent"] == 8
    assert report["environment"]["country"] == "France"
    assert not {"latitude", "longitude"} & set(report["environment"])
    assert report["task"]["taskFamily"] == "causal-lm"
    assert report["task"]["algorithms"][0]["layersNumber"] == 12
    assert report["quality"] == "high"  # 10 % to either side


def test_boamps_says_no_more_than_is_known(run):
    found = exported(Subject(name="d", runs=(run(work=Work(), purpose=None),)), "boamps")
    report = json.loads(found.text)
    assert "dataset" not in report["task"]
    assert "infraType" not in report["infrastructure"]
    assert [text.partition(":")[0] for text in found.missing] == [
        "task.algorithms",
        "task.dataset",
        "task.taskFamily",
        "infrastructure.infraType",
    ]


def test_boamps_tells_of_all_runs_that_it_adds_up(run, account):
    # two days each, one after the other: four days, and 36 + 36 kWh
    later = run("b", purpose="fine-tuning", begun_unix_s=1_770_000_000.0 + 2 * DAY_S)
    measure = json.loads(exported(Subject(name="d", runs=(run("a"), later)), "boamps").text)["measures"][0]
    assert measure["powerConsumption"] == 72.0
    assert measure["measurementDuration"] == pytest.approx(4 * DAY_S, rel=0.005)
    assert measure["measurementDateTime"] == "2026-02-02 02:40:00"  # 1,770,000,000 s after 1970


def test_boamps_names_the_model_that_was_started_from_and_no_language_that_nobody_told(run):
    tuned = run(purpose="fine-tuning", links=(("initialised-from", "base-7b"),), evidence=Evidence())
    report = json.loads(exported(Subject(name="d", runs=(tuned,)), "boamps").text)
    assert report["task"]["algorithms"][0]["foundationModelName"] == "base-7b"
    assert "software" not in report
    fresh = json.loads(exported(Subject(name="d", runs=(run(),)), "boamps").text)
    assert "foundationModelName" not in fresh["task"]["algorithms"][0]


def test_a_tiny_number_of_the_hub_has_the_digits_of_its_interval(run, account):
    tiny = run(account=account(location_kg=8.7e-7, spread=0.5))
    text = exported(Subject(name="d", runs=(tiny,)), "hugging-face").text
    assert "  emissions: 8.7e-04  # grams" in text
    assert yaml_1_1_float(8.7e-4, text)


def yaml_1_1_float(value, text):
    """Whether the number has a point and a signed exponent, as YAML 1.1 wants of a float."""
    number = text.split("emissions: ")[1].split()[0]
    return re.fullmatch(r"\d+\.\d+e[+-]\d+", number) is not None and float(number) == value


def test_a_figure_that_another_tool_measured_is_not_called_ours(run):
    read = run(kind="imported", evidence=Evidence(source="CodeCarbon file emissions.csv"))
    subject = Subject(name="d", runs=(read,))
    assert 'source: "tonne, read from CodeCarbon file emissions.csv (' in exported(subject, "hugging-face").text
    method = json.loads(exported(subject, "boamps").text)["measures"][0]["measurementMethod"]
    assert method.startswith("tonne, read from CodeCarbon file emissions.csv; boundary: facility")


def test_codecarbon_counts_that_nobody_knows_are_empty_and_not_zero(run, account):
    def counts(one):
        row = next(csv.DictReader(io.StringIO(exported(Subject(name="d", runs=(one,)), "codecarbon").text)))
        return row["cpu_count"], row["gpu_count"]

    assert counts(run()) == ("", "8")
    assert counts(run(hardware={"AMD EPYC": 1}, account=account(accelerator_hours=0.0))) == ("", "0")
    assert counts(run(hardware={})) == ("", "")


@pytest.mark.parametrize(("control", "cell"), [(None, ""), ("owned", "N"), ("cloud", "Y")])
def test_codecarbon_is_told_of_a_cloud_by_who_knows(run, control, cell):
    subject = Subject(name="d", runs=(run(),), declared=Declared(control=control))
    row = next(csv.DictReader(io.StringIO(exported(subject, "codecarbon").text)))
    assert row["on_cloud"] == cell
