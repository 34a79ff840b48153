"""`tonne count` and `tonne reference`."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from tonne.cli.main import app


def called(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_parts_sum_to_the_whole():
    counts = json.loads(called("count", "bert-large-uncased", "--json").stdout)["counts"]
    assert sum(counts["parts"].values()) == counts["parameters"]


def test_llama_65b_by_hand():
    # 32000 x 8192 twice, 80 layers of 4 x 8192^2 + 3 x 8192 x 22016 and two norms, and the last norm
    by_hand = 2 * 32000 * 8192 + 80 * (4 * 8192**2 + 3 * 8192 * 22016 + 2 * 8192) + 8192
    counts = json.loads(called("count", "llama-65b", "--sequence-length", "2048", "--json").stdout)["counts"]
    assert counts["parameters"] == counts["active_parameters"] == by_hand
    # 6 a matrix entry (the input table is none), and causal scores and values: 6 x 80 x 8192 x 2 x 2049 / 2
    matrices = 32000 * 8192 + 80 * (4 * 8192**2 + 3 * 8192 * 22016)
    assert counts["training_flop_per_token"] == 6 * matrices + 6 * 80 * 8192 * 2049


def test_text_shows_three_figures_and_memory():
    text = called("count", "deepseek-v3-671b", "--sequence-length", "4096").stdout
    for words in ("671,026,419,200", "sequences of 4,096 tokens", "model (true mask)", "executed", "convention 6N"):
        assert words in text
    assert "active, of one token" in text
    assert "inference in all" in text


def test_unknown_model_exits_2_with_close_names():
    result = called("count", "bert-larg")
    assert result.exit_code == 2
    assert "bert-large" in result.stderr
    assert result.stdout == ""


def test_reference_row_says_where_it_is_from():
    found = json.loads(called("reference", "accelerators", "H100 SXM5 80GB", "--json").stdout)
    assert found["rows"][0]["board_power_limit_w"] == "700.0"
    for column in ("source", "year", "licence", "basis"):
        assert found["rows"][0][column]


def test_namibia_is_not_nothing():
    found = json.loads(called("reference", "grids", "Namibia", "--json").stdout)
    assert {row["zone"] for row in found["rows"]} == {"NA"}


def test_unknown_table_exits_2_and_lists_the_tables():
    result = called("reference", "animals")
    assert result.exit_code == 2
    assert "accelerators, nodes" in result.stderr


def test_missing_argument_is_a_usage_error():
    assert called("count").exit_code == 2
    assert called("nonsense").exit_code == 2


def test_two_stacks_are_counted_as_the_forecast_counts_them():
    counts = json.loads(called("count", "t5-11b", "--json").stdout)["counts"]
    arguments = ("forecast", "t5-11b", "--tokens", "1B", "--accelerators", "8xTPU v3", "--json")
    forecast = json.loads(called(*arguments).stdout)["counts"]
    assert counts["sequence_length"] == forecast["sequence_length"] == 512 + 512
    assert counts["training_flop_per_token"] == forecast["training_flop_per_token"]
