"""`tonne forecast --inference` and `tonne validate --inference`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app

pytestmark = pytest.mark.slow  # every published measurement is forecast

SERVED = ["forecast", "llama-2-7b", "--accelerators", "A100-80GB", "--grid", "FR", "--inference"]
BOTH = ["forecast", "llama-2-7b", "--tokens", "2T", "--accelerators", "1024xA100-80GB", "--grid", "FR", "--pue", "1.1"]


def called(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def printed(*arguments: str) -> dict:
    result = called(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_use_stands_beneath_training():
    text = called(*BOTH, "--requests-per-day", "10M").stdout
    assert text.index("Duration") < text.index("First token") < text.index("Even: energy")
    assert "use overtakes training after" in text


def test_use_alone():
    text = called(*SERVED).stdout
    assert text.startswith("Use       llama-2-7b")
    assert "Even" not in text


@pytest.mark.parametrize("arguments", [SERVED, [*BOTH, "--requests", "10B"], [*BOTH, "--requests-per-day", "1M"]])
def test_lines_fit_the_terminal(arguments):
    lines = called(*arguments).stdout.splitlines()
    assert max(len(line) for line in lines if not line.lstrip().startswith("Energy  ")) <= 120
    assert max(len(line) for line in lines) <= 130  # the line of the energy's parts, as without use


def test_what_serves_is_enough():
    named = printed("forecast", "llama-2-7b", "--inference-accelerator", "A100-80GB", "--grid", "FR")["inference"]
    assert named["per_request"] == printed(*SERVED)["inference"]["per_request"]


def test_options_describe_the_requests():
    asked = printed(
        *SERVED, "--requests", "1B", "--prompt-tokens", "100", "--output-tokens", "50", "--batch", "4",
        "--weight-precision", "int8", "--inference-accelerator", "L40S",
    )["plan"]["inference"]  # fmt: skip
    assert asked["requests"] == 1e9
    assert (asked["prompt_tokens"], asked["output_tokens"], asked["batch_sequences"]) == (100, 50, 4)
    assert (asked["weight_precision"], asked["accelerator"]) == ("int8", "L40S")


def test_document_has_both_sides():
    found = printed(*BOTH, "--requests", "1B")
    assert {"account", "counts", "inference", "schema_version"} <= set(found)
    assert found["inference"]["requests"] == 1e9
    assert set(found["inference"]["per_request"]["facility_kwh"]) == {"value", "low", "high", "basis", "sources"}
    assert found["inference"]["overtakes_energy"]["requests"]["value"] > 0


def test_document_of_use_alone_has_no_account():
    found = printed(*SERVED)
    assert "account" not in found
    assert found["inference"]["overtakes_energy"] is None


def test_one_output_token_is_no_encoders_pass():
    text = called(*SERVED, "--output-tokens", "1").stdout
    assert "500 tokens in, 1 out" in text
    assert "First token" in text
    assert "the token written, and the prompt read for it" in text


def test_little_memory_is_not_none():
    text = called("forecast", "bert-base-uncased", "--accelerators", "A100-80GB", "--inference").stdout
    assert "0.22 GB held" in text  # 109,482,240 weights of two bytes
    assert "M tok/s" in text
    assert "µg" in text
    assert "One pass" in text


def test_without_the_option_nothing_changes():
    assert "inference" not in printed(*BOTH)
    assert "First token" not in called(*BOTH).stdout


def test_explanation_gives_equations_and_inputs_of_a_request():
    found = {step["output"]: step for step in printed(*SERVED, "--explain")["inference"]["explanation"]}
    assert found["request.time_per_output_token_s"]["equation"].startswith("t_d = max(t_c, t_w)")
    assert {"decode_weights_bytes", "bandwidth_fraction"} <= set(found["request.time_per_output_token_s"]["inputs"])
    assert found["request.energy.facility_kwh"]["value"] > found["request.energy.accelerators_kwh"]["value"]
    assert "request.prefill_s = " in called(*SERVED, "--explain").stdout


def test_bad_requests_are_one_line_and_exit_2():
    result = called(*SERVED, "--requests", "many")
    assert result.exit_code == 2


def test_validation_of_inference():
    text = called("validate", "--inference", "--rows").stdout
    assert "time, decode steps alone" in text
    assert "EcoLogits" in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_validation_of_inference_as_a_document():
    found = printed("validate", "--inference")
    assert len(found["gates"]) == 5
    assert found["sources"]
