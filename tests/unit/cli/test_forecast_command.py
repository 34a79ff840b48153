"""`tonne forecast`: what it prints, its document, and what it says about bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app
from tonne.describe.plan import TrainingPlan
from tonne.forecasting import forecast
from tonne.report.document import document, from_document

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
GPT_3 = ["forecast", "gpt-3-175b", "--tokens", "300B", "--accelerators", "1024xA100-80GB", "--precision", "bf16"]


def called(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def printed(*arguments: str) -> dict:
    result = called(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_options_describe_the_whole_plan():
    plan = printed(*GPT_3, "--grid", "FR", "--pue", "1.2")["plan"]
    assert plan["data"]["tokens"] == 300e9
    assert plan["cluster"]["accelerators"] == 1024
    assert plan["site"]["grid"] == "FR"
    assert plan["site"]["pue"]["value"] == 1.2


def test_gpt_3_takes_the_flop_that_its_shape_says():
    # 6 x (4 x 12288^2 + 2 x 12288 x 49152) x 96 layers, causal scores 6 x 96 x 12288 x 2049 x 2 / 2 and logits, by hand
    layers = 96 * (4 * 12288**2 + 2 * 12288 * 49152)
    scores = 96 * 2 * 12288 * (2049 / 2)
    per_token = 6 * (layers + 50257 * 12288 + scores)
    assert printed(*GPT_3)["counts"]["training_flop"] == pytest.approx(300e9 * per_token, rel=1e-9)


def test_document_has_the_keys_that_scripts_read():
    found = printed(*GPT_3)
    assert found["schema_version"] == "1"
    assert {"plan", "counts", "memory", "account", "notes", "data_version"} <= set(found)
    assert set(found["account"]["energy"]["facility_kwh"]) == {"value", "low", "high", "basis", "sources"}


def test_no_place_means_no_carbon():
    result = called(*GPT_3)
    assert "unknown: no place given" in result.stdout
    assert printed(*GPT_3)["account"]["carbon"]["operational_location_kgco2e"] is None


def test_text_has_every_output_and_what_is_left_out():
    text = called(*GPT_3, "--grid", "DE").stdout
    for word in ("Duration", "Energy", "CO2e, grid", "CO2e, embodied", "Water", "Cost", "Compute", "5 - 95 %"):
        assert word in text
    assert "--grid FR" in text
    assert "Not included" in text


def test_hours_hardware_and_place_are_enough():
    found = printed(
        "forecast", "--accelerator-hours", "1.08M", "--accelerators", "A100-80GB", "--site", "FR", "--pue", "1.2"
    )
    assert found["counts"] is None
    assert found["account"]["accelerator_hours"]["value"] == 1.08e6
    assert found["account"]["carbon"]["operational_location_kgco2e"]["value"] > 0


def test_options_override_a_plan_file():
    plan = printed("forecast", str(EXAMPLES / "bloom-176b.toml"), "--tokens", "1T", "--grid", "SE")["plan"]
    assert plan["data"]["tokens"] == 1e12
    assert plan["site"]["grid"] == "SE"
    assert plan["site"]["grid_gco2e_per_kwh"] is None
    assert plan["site"]["pue"]["value"] == 1.2


def test_site_may_be_a_file(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text("[site]\ngrid = 'FR'\npue = 1.3\n", encoding="utf-8")
    site = printed(*GPT_3, "--site", str(file))["plan"]["site"]
    assert (site["grid"], site["pue"]["value"]) == ("FR", 1.3)


def test_site_may_be_a_cloud_region():
    assert printed(*GPT_3, "--site", "aws:eu-central-1")["plan"]["site"]["region"] == "aws:eu-central-1"


def test_explain_gives_equation_inputs_and_sources():
    text = called(*GPT_3, "--explain").stdout
    assert "energy.facility_kwh" in text
    assert "sources:" in text
    assert "pue = 1.25" in text


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_document_parses_back_to_the_same_forecast(path):
    before = forecast(TrainingPlan.from_toml(path))
    assert from_document(json.loads(json.dumps(document(before), allow_nan=False))) == before


PLAN = """
[architecture]
{architecture}
[data]
tokens = {tokens}
sequence_length = 2048
[cluster]
accelerator = "A100-80GB"
accelerators = 8
{rest}
"""
SHAPE = 'kind = "decoder"\nlayers = 2\nwidth = 64\nheads = 4\nvocabulary = 100\n'
BAD_PLANS = {
    "unknown field": (SHAPE, "1e9", "[site]\nelevation = 3", "elevation is not a field"),
    "width and heads": (SHAPE.replace("width = 64", "width = 66"), "1e9", "", "multiple of heads"),
    "experts": (SHAPE + "experts = { count = 4, per_token = 8 }", "1e9", "", "per_token=8 is more than"),
    "zero tokens": (SHAPE, "0", "", "greater than 0"),
    "negative tokens": (SHAPE, "-5", "", "greater than 0"),
    "NaN tokens": (SHAPE, "nan", "", "tokens"),
    "layout": (SHAPE, "1e9", "[parallelism]\ntensor = 3\ndata = 2", "= 6, but [cluster] accelerators=8"),
    "pue": (SHAPE, "1e9", "[site]\npue = 0.9", "at least 1"),
    "date": (SHAPE, "1e9", "[schedule]\nstart = 1815-06-18T00:00:00Z", "between 2000 and 2100"),
    "not TOML": ("this is not toml", "1e9", "", "is not TOML"),
    "unknown preset": ('preset = "gtp-3"', "1e9", "", "gtp-3"),
}


def is_one_clear_error(result, said: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if "Error" in line]) == 1


@pytest.mark.parametrize(("architecture", "tokens", "rest", "said"), BAD_PLANS.values(), ids=BAD_PLANS)
def test_bad_plan_is_one_clear_error(tmp_path, architecture, tokens, rest, said):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN.format(architecture=architecture, tokens=tokens, rest=rest), encoding="utf-8")
    is_one_clear_error(called("forecast", str(file)), said)


BAD_OPTIONS = {
    "unit": (["--tokens", "300X"], "300X"),
    "zero": (["--tokens", "0"], "above zero"),
    "negative": (["--tokens", "-3B"], "above zero"),
    "NaN pue": (["--pue", "nan"], "pue"),
    "pue below one": (["--pue", "0.5"], "at least 1"),
    "no accelerators": (["--accelerators", "0xA100"], "1024xA100-80GB"),
    "unknown accelerator": (["--accelerators", "8xZ9000"], "Z9000"),
    "unknown grid": (["--grid", "Georgia"], "Georgia"),
    "two places": (["--grid", "FR", "--region", "aws:eu-central-1"], "Give one of them"),
    "goodput": (["--goodput", "1.5"], "at most 1"),
    "overhead": (["--overhead", "0.5"], "at least 1"),
    "precision": (["--precision", "fp7"], "fp16"),
    "no number": (["--pue", "abc"], "pue"),
    "date": (["--start", "1815-06-18"], "between 2000 and 2100"),
    "unknown option": (["--gird", "FR"], "--grid"),
}


@pytest.mark.parametrize(("options", "said"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_option_is_one_clear_error(options, said):
    is_one_clear_error(called(*GPT_3, *options), said)


def test_missing_file_and_missing_hardware_are_one_clear_error():
    is_one_clear_error(called("forecast", "nowhere.toml"), "does not exist")
    is_one_clear_error(called("forecast", "gpt-3-175b", "--tokens", "300B"), "--accelerators 1024xA100-80GB")


def test_unknown_model_names_close_ones():
    is_one_clear_error(called("forecast", "gpt3-175b", *GPT_3[2:]), "gpt-3-175b")


@pytest.mark.slow
@pytest.mark.parametrize(("options", "loaded"), [(["--utilisation", "0.4"], "[]"), ([], "['numpy']")])
def test_forecast_loads_no_rich_or_torch_and_numpy_for_the_search_alone(options, loaded):
    code = (
        "import sys; sys.argv = ['tonne', *sys.argv[1:]]\n"
        "from tonne.cli.main import app\n"
        "app(standalone_mode=False)\n"
        "print([n for n in ('numpy', 'rich', 'torch', 'altair') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *GPT_3, *options], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == loaded


def test_version():
    import tonne

    assert called("--version").stdout.strip() == f"tonne {tonne.__version__}"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (["--grid", "US-CA"], "g/kWh CO2e, direct, 2023"),  # eGRID has direct factors alone
        (
            ["--grid", "FR", "--grid-basis", "direct"],
            "g/kWh CO2e, lifecycle, 2025",
        ),  # Ember has lifecycle factors alone
        (["--grid", "CN-BJ"], "g/kWh CO2, direct, 2023"),  # the ministry counts CO2 alone
    ],
)
def test_headline_names_the_basis_of_the_factor_used(place, said):
    command = ["forecast", "llama-7b", "--tokens", "1T", "--accelerators", "64xH100", *place]
    assert said in CliRunner().invoke(app, command).stdout


def test_measured_step_sets_the_step(tmp_path):
    options = ("--global-batch", "1536", "--measured-step-s", "12.3", "--json")
    found = json.loads(called(*GPT_3, *options).stdout)
    assert found["account"]["throughput"]["step_time_s"]["value"] == pytest.approx(12.3)
    is_one_clear_error(called(*GPT_3, "--measured-step-s", "12.3"), "global_batch_sequences is missing")


def test_layout_found_is_in_the_text_and_in_the_document():
    assert "\n  Layout " in called(*GPT_3).stdout
    found = json.loads(called(*GPT_3, "--json").stdout)["layout"]
    best = found["chosen"]
    assert best["tensor"] * best["pipeline"] * best["data"] * best["context"] <= 1024
    assert len(found["runners_up"]) == 3
