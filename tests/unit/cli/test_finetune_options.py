"""`tonne forecast --from MODEL --lora-rank N`: what the options describe, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
OPTIONS = ["--tokens", "100M", "--accelerators", "8xH100", "--grid", "FR"]


def called(*arguments: str):
    return CliRunner().invoke(app, ["forecast", *arguments])


def printed(*arguments: str) -> dict:
    result = called(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_options_describe_a_lora_plan():
    found = printed("--from", "llama-3.1-8b", "--lora-rank", "16", *OPTIONS)
    assert found["plan"]["name"] == "llama-3.1-8b, fine-tuned"
    assert found["plan"]["start"]["from"] == "llama-3.1-8b"
    assert found["plan"]["training"]["lora"]["rank"] == 16
    assert found["plan"]["architecture"]["layers"] == 32
    assert found["counts"]["trainable_parameters"] == 32 * 16 * (8192 + 5120)
    assert found["modification"]["standing"] == "below"
    assert found["modification"]["share"]["value"] < 1e-5


def test_adapters_of_a_named_model_start_from_it():
    found = printed("llama-3.1-8b", "--lora-rank", "16", *OPTIONS)
    assert found["plan"]["start"]["from"] == "llama-3.1-8b"


def test_a_model_that_starts_from_nothing_is_no_modification():
    assert printed("llama-3.1-8b", *OPTIONS)["modification"] is None


def test_original_may_be_a_plan():
    found = printed("--from", str(EXAMPLES / "llama-65b.toml"), *OPTIONS)
    assert found["modification"]["share"]["value"] == pytest.approx(100e6 / 1.4e12, rel=1e-6)
    assert found["counts"]["parameters"] == found["counts"]["trainable_parameters"]


def test_options_replace_those_of_a_file():
    found = printed(str(EXAMPLES / "finetune-lora.toml"), "--lora-rank", "4")
    assert found["plan"]["training"]["lora"]["rank"] == 4
    assert len(found["plan"]["training"]["lora"]["targets"]) == 5


def test_text_names_what_learns_the_share_and_the_threshold():
    text = called(str(EXAMPLES / "finetune-lora.toml")).stdout
    assert "Learns           41.9M numbers" in text  # Llama 3 8B, rank 16, all linears: as PEFT prints
    for words in ("Of the original", "EU threshold", "below it", "one third of the original's compute"):
        assert words in text


def test_unknown_start_is_bad_input():
    result = called("--from", "lama-3", *OPTIONS)
    assert result.exit_code == 2
    assert "'lama-3' is no preset" in result.stderr
