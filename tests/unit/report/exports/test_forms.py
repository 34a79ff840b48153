"""What forms say, and what they do not: scopes, scores, missing fields, whole projects."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from tonne.errors import DescriptionError
from tonne.estimate import Estimate
from tonne.ledger.lenses import lens_named, view
from tonne.ledger.lenses.scopes import scope_lines
from tonne.ledger.lenses.scores import scores
from tonne.ledger.records import Work
from tonne.reference.table import table
from tonne.report.exports import facts
from tonne.report.exports.formats import FORMATS, LENSES, exported
from tonne.report.exports.forms import template
from tonne.report.exports.subject import Declared, Subject, wall_clock_s

DAY_S = 86_400.0


@pytest.mark.parametrize("name", ["eu-form", "model-card", "climate-card", "neurips", "sci", "ghg"])
def test_each_template_has_a_version_and_a_known_source(name):
    form = template(name)
    assert form.id == name
    assert form.version
    assert form.source in {row["key"] for row in table("sources")}


def test_every_format_says_which_lenses_it_takes():
    assert set(LENSES) == set(FORMATS)


def test_an_unknown_format_lists_those_that_there_are(run):
    with pytest.raises(DescriptionError, match=r"no format 'pdf'\. Known: eu-form, model-card"):
        exported(Subject(name="d", runs=(run(),)), "pdf")


def test_a_form_with_rules_of_its_own_takes_no_lens(run):
    with pytest.raises(DescriptionError, match="eu-form cannot be read through the lens 'project'"):
        exported(Subject(name="d", runs=(run(),), lens="project"), "eu-form")


def test_missing_fields_are_listed_and_declared_ones_are_not(run):
    found = exported(Subject(name="d", runs=(run(),), declared=Declared(organisation="Example")), "eu-form")
    assert not any(text.startswith("Legal name") for text in found.missing)
    assert "Union market date: for the provider to fill in" in found.missing
    assert "- **Legal name of the provider** (AIO, NCA, DP): Example" in found.text


def test_a_place_that_nobody_gave_is_missing_and_not_guessed(run, account):
    nowhere = run(site=None, account=account(location_kg=None))
    found = exported(Subject(name="d", runs=(nowhere,)), "model-card")
    assert "**Compute Region**: [missing: no place was given; it is not guessed]" in found.text
    assert "**Carbon Emitted**: [missing: it is unknown for r1 (r1)" in found.text


def test_a_project_tells_final_run_and_whole_project_apart(run):
    runs = (run("a"), run("b", purpose="sweep"), run("c", purpose="failed"))
    text = exported(Subject(name="d", runs=runs), "model-card").text
    assert "**Energy**: 36 kWh" in text
    assert "**Whole project, failed runs and sweeps too**: 3 runs; 110 kWh" in text
    assert (
        "yes: 2 more runs (failed, sweep), 96.0 accelerator-hours"
        in exported(Subject(name="d", runs=runs), "neurips").text
    )


def test_memo_lines_stand_in_the_form_with_their_reason(run):
    text = exported(Subject(name="d", runs=(run("a"), run("t", purpose="evaluation"))), "eu-form").text
    assert "- memo: t [accelerators 20 kWh; servers 28 kWh; IT 30 kWh; facility 36 kWh]: the form does not say" in text
    assert "- excluded: t [training compute 1.20e14 FLOP]: it only diagnosed (annex A, paragraph 122)" in text


@pytest.mark.parametrize(
    ("control", "electricity", "making"),
    [
        ("owned", "scope 2", "scope 3, category 2 (capital goods)"),
        ("cloud", "scope 3, category 1 (purchased services)", "scope 3, category 1 (purchased services)"),
        ("colo", "scope 2, or scope 3 category 8", "scope 3, category 2 (capital goods)"),
        (None, "unknown: whose hardware it is was not declared", "unknown: whose hardware it is was not declared"),
    ],
)
def test_scopes_follow_whose_hardware_it_is(run, control, electricity, making):
    runs = [run()]
    lines = scope_lines(view(lens_named("ghg"), runs), runs, control)
    by_method = {line.method.partition(":")[0]: line for line in lines}
    assert by_method["location-based"].scope.startswith(electricity) or "upstream" in by_method["location-based"].scope
    assert lines[0].scope.startswith(electricity)
    assert by_method["embodied"].scope.startswith(making)
    assert by_method["market-based"].kgco2e.value is None


def test_owned_electricity_is_split_where_the_grid_has_a_direct_factor(run, account):
    from tonne.reference.grids import grid

    whole, direct = (grid("US", kind).record for kind in ("lifecycle", "direct"))
    assert direct.accounting == "direct"
    mine = account(facility_kwh=1000.0, location_kg=whole.gco2e_per_kwh)  # 1000 kWh: as many kg as g/kWh
    runs = [run(site={"grid": "US"}, account=mine)]
    lines = scope_lines(view(lens_named("ghg"), runs), runs, "owned")
    assert lines[0].kgco2e.value.value == pytest.approx(direct.gco2e_per_kwh)
    assert lines[-1].scope.startswith("scope 3, category 3")
    assert lines[-1].kgco2e.value.value == pytest.approx(whole.gco2e_per_kwh - direct.gco2e_per_kwh)


def test_runs_of_one_name_are_each_in_the_split_and_in_the_answer(run, account):
    from tonne.reference.grids import grid

    whole, direct = (grid("US", kind).record for kind in ("lifecycle", "direct"))
    mine = account(facility_kwh=1000.0, location_kg=whole.gco2e_per_kwh)
    runs = [run(id, name="train", site={"grid": "US"}, account=mine) for id in ("a", "b", "c")]
    lines = scope_lines(view(lens_named("ghg"), runs), runs, "owned")
    assert lines[0].kgco2e.value.value == pytest.approx(3 * direct.gco2e_per_kwh)
    assert lines[-1].kgco2e.value.value == pytest.approx(3 * (whole.gco2e_per_kwh - direct.gco2e_per_kwh))
    sweeps = [run(id, name="sweep", purpose="sweep") for id in ("s", "t")]  # each 48 accelerator-hours and 36 kWh
    answer = exported(Subject(name="d", runs=(run("f"), *sweeps)), "neurips").text
    assert "yes: 2 more runs (sweep), 96.0 accelerator-hours" in answer
    assert "; 72 kWh" in answer


def test_a_factor_that_was_given_is_not_split(run):
    runs = [run(site={"grid_gco2e_per_kwh": {"value": 333.0}})]
    lines = scope_lines(view(lens_named("ghg"), runs), runs, "owned")
    assert lines[0].kgco2e.value.value == 12.0
    assert "not told apart" in lines[0].note


def test_an_unknown_control_is_an_error(run):
    with pytest.raises(DescriptionError, match="control='mine' is none"):
        scope_lines(view(lens_named("ghg"), [run()]), [run()], "mine")


def test_scores_of_training_by_hand(run, account):
    # 6,500 kg over 50e9 tokens: 130 g a million; 4e9 g over 1e24 FLOP: 4 g a 10^15; 75 t over 2.5e9: 30 t a billion
    tokens = run(account=account(location_kg=6000.0, embodied_kg=500.0), work=Work(tokens=50 * 10**9))
    flop = run(account=account(location_kg=3_900_000.0, embodied_kg=100_000.0), work=Work(training_flop=1e24))
    size = run(account=account(location_kg=70_000.0, embodied_kg=5_000.0), work=Work(parameters=2_500_000_000))
    each = [scores(view(lens_named("sci-ai"), [one]), [one]) for one in (flop, tokens, size)]
    assert each[0][1].score_gco2e.value == pytest.approx(4.0)
    assert each[1][2].score_gco2e.value == pytest.approx(130.0)
    assert each[2][3].score_gco2e.value == pytest.approx(30e6)
    assert each[0][2].why == "its training tokens are unknown"


def test_a_score_counts_failed_runs_over_what_made_the_model(run):
    runs = [run("a", work=Work(tokens=10**6)), run("b", purpose="failed", work=Work(tokens=10**6))]
    score = scores(view(lens_named("sci-ai"), runs), runs)[2]
    assert score.units == 1.0
    assert score.score_gco2e.value == pytest.approx(2 * 15_000.0)
    assert score.operational_gco2e.value + score.embodied_gco2e.value == pytest.approx(score.score_gco2e.value)


def test_a_score_without_the_embodied_part_is_none(run, account):
    runs = [run(account=account(embodied_kg=None))]
    score = scores(view(lens_named("sci-ai"), runs), runs)[0]
    assert score.score_gco2e is None
    assert "M, the embodied part, is unknown" in score.why


def test_wall_clock_of_runs_side_by_side_is_not_their_sum(run, account):
    begin = 1_770_000_000.0
    runs = [
        run("a", begun_unix_s=begin),  # two days each
        run("b", begun_unix_s=begin + DAY_S),
        run("c", begun_unix_s=begin + 10 * DAY_S),
    ]
    assert wall_clock_s(runs).value == pytest.approx(5 * DAY_S)
    assert wall_clock_s([run(account=account(days=None)), run("b")]) is None


@pytest.mark.parametrize(
    ("parameters", "band"),
    [
        (1e6, "1 to 500 million"),
        (7e9, "5 to 15 billion"),
        (1.75e11, "100 to 500 billion"),
        (2e12, "more than 1 trillion"),
    ],
)
def test_bands_of_the_form(parameters, band):
    assert facts.parameter_band(parameters) == band


@pytest.mark.parametrize(
    ("days", "text"),
    [(9, "less than 1 month"), (40, "1 to 3 months"), (100, "3 to 6 months"), (200, "more than 6 months")],
)
def test_ranges_of_training_time(days, text):
    assert facts.time_range(days) == text


def test_a_run_on_processors_has_node_days(run, account):
    one = run(hardware={"AMD EPYC 7763": 2}, nodes=3, account=account(accelerator_hours=0.0))
    text = exported(Subject(name="d", runs=(one,)), "eu-form").text
    assert "Training time, hardware** (AIO): 6.00 node-days, no accelerators" in text


def test_offsets_and_market_based_figures_never_lower_the_location_based_one(run, account):
    green = run(account=account(market_kg=0.0))
    text = exported(Subject(name="d", runs=(green,)), "ghg").text
    assert "| location-based | 0.012 |" in text
    assert "| market-based | 0 |" in text


def test_many_runs_of_one_kind_are_one_line(run):
    sweeps = [run(f"s{number}", purpose="sweep") for number in range(212)]
    text = exported(Subject(name="d", runs=(run("a"), *sweeps)), "eu-form").text
    assert "- excluded: 212 runs (sweep) [training compute 2.54e16 FLOP]: it helped through what people learned" in text
    assert text.count("- excluded:") == 1
    assert "- memo: 212 runs (sweep) [accelerators 4.2 MWh; servers 5.9 MWh; IT 6.4 MWh; facility 7.6 MWh]" in text


def test_a_group_says_of_how_many_runs_something_is_unknown(run, account):
    bare = [run(f"s{number}", purpose="sweep", account=account(facility_kwh=None)) for number in range(4)]
    runs = (run("a"), *bare, *(run(f"t{number}", purpose="sweep") for number in range(4)))
    text = exported(Subject(name="d", runs=runs), "eu-form").text
    assert "- memo: 8 runs (sweep, of 4 not all is known) [" in text
    assert "facility 140 kWh]" in text  # 4 x 36


def test_the_form_shows_what_proves_it(run):
    from tonne.ledger.records import Evidence

    proof = Evidence(journal_sha256="ab" * 32, entry_sha256="cd" * 32, tonne_version="0.1.0", data_version="2026.11")
    text = exported(Subject(name="d", runs=(run(evidence=proof),)), "eu-form").text
    assert f"- r1 (r1): journal SHA-256 {'ab' * 32}; ledger entry SHA-256 {'cd' * 32}; tonne 0.1.0" in text


def test_a_forecast_is_told_from_a_measurement_in_data_too(run):
    subject = Subject(name="d", runs=(run(kind="forecast", status="forecast"),))
    assert 'source: "tonne, forecast before the run (modelled' in exported(subject, "hugging-face").text
    assert ",forecast," in exported(subject, "codecarbon").text.splitlines()[1]


def test_sci_for_software_is_the_same_score_by_the_standard_alone(run):
    text = exported(Subject(name="d", runs=(run(),), lens="sci"), "sci").text
    assert "Software Carbon Intensity: 1 run" in text
    assert "**A trained model**: 15000 g CO2e (90 % interval 14000 to 16000; modelled)" in text  # 12 + 3 kg, 10 %


def test_a_million_accelerator_hours_are_said_as_such(run, account):
    text = exported(Subject(name="d", runs=(run(account=account(accelerator_hours=1_082_990.0)),)), "model-card").text
    assert "**Hours used**: 1.08 million accelerator-hours (measured)" in text


def test_compute_by_hardware_alone_is_told_as_such(run, account, estimate):
    from tonne.account import Throughput

    speed = Throughput(achieved_peak_fraction=estimate(0.4, 0.36, 0.44), goodput=estimate(0.9))
    one = run(account=account(throughput=speed), work=Work())
    text = exported(Subject(name="d", runs=(one,)), "eu-form").text
    # 48 h x 3600 x 989.4e12 x 0.36 = 6.155e19, 10 % to either side
    assert "used for training** (AIO): 6.2e19 FLOP (90 % interval 5.5e19 to 6.8e19 FLOP; modelled)" in text
    assert "Hardware-based: C = N L H U: 48 accelerator-hours" in text


def on_processors(run, account, id="r1", **fields):
    """A run of two hours on two servers without accelerators."""
    mine = account(days=2 / 24, accelerator_hours=0.0, accelerators_kwh=0.0, coverage=0.0)
    return run(id, account=mine, hardware={"AMD EPYC": 2}, nodes=2, **fields)


def test_a_run_on_processors_has_node_hours(run, account):
    runs = (on_processors(run, account), on_processors(run, account, "s", purpose="sweep"))
    card = exported(Subject(name="d", runs=runs), "model-card").text
    assert "**Hours used**: 4.00 node-hours, no accelerators" in card  # two hours on two servers
    assert "location-based; 8.00 node-hours, no accelerators" in card  # of the whole project
    assert "No sensor could be read: the IT energy is modelled by part" in card
    answer = exported(Subject(name="d", runs=runs), "neurips").text
    assert "r1: 2.00 h, on processors" in answer
    assert "yes: 1 more run (sweep), 4.00 node-hours, no accelerators; 36 kWh" in answer
    form = exported(Subject(name="d", runs=runs), "eu-form").text
    assert "Boundary chip: accelerators alone** (AIO, NCA): 0 MWh: it had no accelerators" in form


@pytest.mark.parametrize("name", FORMATS)
def test_a_project_that_nobody_tagged_says_so_and_claims_nothing(run, name):
    found = exported(Subject(name="d", runs=(run("a", purpose=None), run("b", purpose=None))), name)
    assert "estimated before the run" not in found.text
    assert "0 runs ()" not in found.text
    if name in ("eu-form", "model-card", "hugging-face", "latex", "climate-card"):
        assert any("no run is counted: tag what the runs were for" in text for text in found.missing)
    if name == "hugging-face":
        assert found.text == "---\n---\n"


def test_what_is_wanting_is_said_where_the_energy_is_known(run, account):
    card = exported(Subject(name="d", runs=(run(account=account(embodied_kg=None, location_kg=None)),)), "model-card")
    assert "Carbon Emitted: it is unknown for r1 (r1): no place was given, or its grid is not known" in card.missing
    dark = account(facility_kwh=None, location_kg=None)
    card = exported(Subject(name="d", runs=(run(account=dark),)), "model-card")
    assert "Carbon Emitted: it is unknown for r1 (r1)" in card.missing


def test_an_inventory_lists_lines_that_are_unknown_among_what_is_missing(run, account):
    found = exported(Subject(name="d", runs=(run(account=account(location_kg=None)),)), "ghg")
    below = found.text.split("## Missing")[1]
    assert "- electricity, location-based: this is unknown for r1 (r1)" in below
    assert "- electricity, market-based: this is unknown for r1 (r1)" in below


def test_the_design_of_a_run_says_what_its_plan_left_to_defaults_and_what_was_really_trained(run):
    architecture = {"kind": "decoder", "layers": 2, "width": 64, "heads": 2, "vocabulary": 100, "positions": "rotary"}
    data = {"tokens": 1.5e9, "sequence_length": 128}
    text = facts.design_text(run(plan={"architecture": architecture, "data": data}, work=Work(tokens=30_720)))
    assert "None" not in text
    assert "norm: layer, before each block" in text  # a decoder's, by describe.architecture
    assert "It is trained by the objective causal-lm on 30,720 tokens in sequences of 128." in text


def test_an_inventory_prints_the_sum_of_those_that_are_known(run, account):
    dark = run("b", account=account(location_kg=None))
    text = exported(Subject(name="d", runs=(run("a"), dark), declared=Declared(control="cloud")), "ghg").text
    assert "| electricity | location-based | unknown; of the others 0.012 |" in text  # 12 kg


def test_an_accelerator_that_no_table_knows_is_not_taken_for_a_processor(run, account):
    odd = Subject(name="d", runs=(run(hardware={"Example X9": 4}),))  # 48 accelerator-hours
    assert "**Hardware Type**: 4 x Example X9" in exported(odd, "model-card").text
    report = json.loads(exported(odd, "boamps").text)
    component = report["infrastructure"]["components"][0]
    assert (component["componentType"], component["nbComponent"]) == ("gpu", 4)
    row = next(csv.DictReader(io.StringIO(exported(odd, "codecarbon").text)))
    assert (row["gpu_count"], row["gpu_model"], row["cpu_model"]) == ("4", "4 x Example X9", "")
    plain = on_processors(run, account)
    report = json.loads(exported(Subject(name="d", runs=(plain,)), "boamps").text)
    assert report["infrastructure"]["components"][0]["componentType"] == "cpu"


def test_water_of_a_codecarbon_row_is_its_wue_times_its_it_energy(run, account):
    # 7.2 L on site for 30 kWh of IT: 0.24 L/kWh; 29 of these 30 kWh are in a row, and with PUE they are 34.8
    mine = account()
    energy = replace(mine.energy, cpu_kwh=Estimate.exact(8.0), memory_kwh=Estimate.exact(1.0))
    mine = replace(mine, energy=energy, water_on_site_l=Estimate.exact(7.2))
    one = Subject(name="d", runs=(run(account=mine),))
    row = next(csv.DictReader(io.StringIO(exported(one, "codecarbon").text)))
    assert float(row["wue"]) == pytest.approx(0.24)
    assert float(row["energy_consumed"]) == pytest.approx(34.8)
    assert float(row["water_consumed"]) == pytest.approx(6.96)


def test_defaults_of_a_forecasts_plan_are_no_facts_of_the_model(run):
    whole = {"objective": "causal-lm", "optimizer": "adamw", "precision": "bf16"}
    hours_alone = run(kind="forecast", status="forecast", plan={"training": whole}, work=Work(), purpose=None)
    found = exported(Subject(name="d", runs=(hours_alone,)), "boamps")
    assert not {"taskFamily", "algorithms"} & set(json.loads(found.text)["task"])
    planned = replace(hours_alone, plan={"training": whole, "architecture": {"kind": "decoder", "layers": 2}})
    assert "causal-lm" in facts.design_text(planned)
    assert "optimizer" not in facts.design_text(planned)
    said = replace(planned, plan={**planned.plan, "given": ["training.optimizer"]})
    assert "The optimizer is adamw." in facts.design_text(said)
    trained = replace(planned, kind="measured")
    assert "The optimizer is adamw." in facts.design_text(trained)
    assert " in bf16." in facts.design_text(trained)
    open_precision = replace(trained, plan={**trained.plan, "given": ["training.optimizer"]})
    assert "bf16" not in facts.design_text(open_precision)
