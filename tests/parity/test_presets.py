"""Counts of the presets against what was published about them."""

from __future__ import annotations

import pytest

from tonne.count.parameters import active_parameters, parameters
from tonne.describe.architecture import Architecture
from tonne.reference.architectures import architecture_rows

ROWS = architecture_rows()
TOLERANCE = 0.005

# Further than half a percent from the printed figure, and rounded it is that figure.
ROUNDED = {
    "switch-base-128": "7 B",
    "switch-large-128": "26 B",
    "gpt-3-xl": "1.3 B",
    "gpt-3-2.7b": "2.7 B",
    "gpt-3-6.7b": "6.7 B",
    "megatron-table1-1.7b": "1.7 B",
    "megatron-table1-3.6b": "3.6 B",
    "gopher-44m": "44 M",
    "gopher-1.4b": "1.4 B",
    "glam-64b-64e": "1.2 T",
    "deepseek-llm-67b": "67 B",
}

# id: (bound on the relative difference, why it is more than half a percent and than the rounding)
EXCEPTIONS = {
    "transformer-base": (0.031, "65 M is printed for a vocabulary of about 37,000 rows; it would take 40,700"),
    "transformer-big": (0.006, "213 M is printed for a vocabulary of about 37,000 rows"),
    "gpt-3-medium": (0.017, "350 M is printed, rounded to 50 M"),
    "lamda-137b": (0.006, "137 B is printed without the embeddings"),
    "llama-4-scout-17b-16e": (0.012, "109 B is printed with the vision encoder"),
    "kimi-k2-1t": (0.014, "1.04 T is printed; the released files hold 1.026 T"),
    "granite-3.0-8b": (0.009, "8.1 B is printed, rounded down from 8.17 B"),
}

# The same of the active parameters.
ACTIVE_ROUNDED = {
    "llama-4-scout-17b-16e": "17 B",
    "llama-4-maverick-17b-128e": "17 B",
    "qwen3-235b-a22b": "22 B",
    "qwen3-coder-480b-a35b": "35 B",
    "deepseek-v2-236b": "21 B",
    "granite-3.0-1b-a400m": "400 M",
}
WITHOUT_TABLE = "printed without the input's token table"
ACTIVE_EXCEPTIONS = {
    "qwen3-30b-a3b": (0.017, "3.3 B is printed, rounded down from 3.35 B"),
    "deepseek-v2-lite-16b": (0.109, "2.4 B is printed without the input's token table, rounded down from 2.45 B"),
    "deepseek-v3-671b": (0.015, WITHOUT_TABLE),
    "kimi-k2-1t": (0.027, WITHOUT_TABLE),
    "gpt-oss-20b": (0.161, WITHOUT_TABLE),
    "gpt-oss-120b": (0.114, WITHOUT_TABLE),
    "granite-3.0-3b-a800m": (0.104, WITHOUT_TABLE),
}
ACTIVE = [preset for preset, row in ROWS.items() if row["parameters_active_published"]]

EXACT = {
    "bert-base-uncased": 109_482_240,
    "bert-large-uncased": 335_141_888,
    "t5-11b": 11_307_321_344,
    "gpt2-small": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "bloom-176b": 176_247_271_424,
    "llama-65b": 65_285_660_672,
    "llama-3.1-405b": 405_853_388_800,
    "mixtral-8x7b": 46_702_792_704,
    "deepseek-v3-671b": 671_026_419_200,
    "qwen2.5-72b": 72_706_203_648,
    "gemma-2-27b": 27_227_128_320,
}


def rounding(published: int) -> float:
    """Half a unit of the last digit that is not a zero: 0.05 B for 1.3 B."""
    unit = 1
    while published % (10 * unit) == 0:
        unit *= 10
    return unit / 2


def as_number(text: str) -> int:
    """`1.3 B` -> 1300000000."""
    digits, unit = text.split()
    return round(float(digits) * {"M": 1e6, "B": 1e9, "T": 1e12}[unit])


def counted_and_published(preset: str, *, active: bool) -> tuple[int, int]:
    count, column = (active_parameters, "active_published") if active else (parameters, "published")
    return count(Architecture.preset(preset)), int(ROWS[preset][f"parameters_{column}"])


def kind_of(preset: str, *, active: bool = False) -> str:
    """How far the count is from the printed figure: close, rounded or apart."""
    counted, published = counted_and_published(preset, active=active)
    if abs(counted / published - 1) <= TOLERANCE:
        return "close"
    return "rounded" if abs(counted - published) <= rounding(published) else "apart"


def test_printed_rounding_by_hand():
    assert rounding(1_300_000_000) == 50_000_000
    assert rounding(137_000_000_000) == 500_000_000
    assert rounding(109_482_240) == 5


def test_every_row_has_a_published_figure():
    assert len(ROWS) == 235
    assert all(int(row["parameters_published"]) > 0 for row in ROWS.values())


@pytest.mark.parametrize("preset", ROWS)
def test_parameters_are_as_published(preset):
    expected = "rounded" if preset in ROUNDED else "apart" if preset in EXCEPTIONS else "close"
    assert kind_of(preset) == expected


@pytest.mark.parametrize("preset", ACTIVE)
def test_active_parameters_are_as_published(preset):
    expected = "rounded" if preset in ACTIVE_ROUNDED else "apart" if preset in ACTIVE_EXCEPTIONS else "close"
    assert kind_of(preset, active=True) == expected


@pytest.mark.parametrize(("exceptions", "active"), [(EXCEPTIONS, False), (ACTIVE_EXCEPTIONS, True)])
def test_exceptions_are_no_further_than_their_cause_says(exceptions, active):
    for preset, (bound, _) in exceptions.items():
        counted, published = counted_and_published(preset, active=active)
        assert counted == pytest.approx(published, rel=bound), preset


@pytest.mark.parametrize(("figures", "active"), [(ROUNDED, False), (ACTIVE_ROUNDED, True)])
def test_rounded_figures_are_those_of_the_table(figures, active):
    for preset, text in figures.items():
        assert counted_and_published(preset, active=active)[1] == as_number(text), preset


@pytest.mark.parametrize("preset", [preset for preset, (_, why) in ACTIVE_EXCEPTIONS.items() if why == WITHOUT_TABLE])
def test_active_parameters_without_the_token_table_are_as_published(preset):
    counted, published = counted_and_published(preset, active=True)
    table = int(ROWS[preset]["vocabulary"]) * int(ROWS[preset]["width"])
    assert abs(counted - table - published) <= rounding(published)


def test_lamda_without_its_table_is_as_published():
    counted, published = counted_and_published("lamda-137b", active=False)
    table = int(ROWS["lamda-137b"]["vocabulary"]) * int(ROWS["lamda-137b"]["width"])
    assert abs(counted - table - published) <= rounding(published)


def test_what_is_called_rounded_down_is_so():
    assert counted_and_published("granite-3.0-8b", active=False)[0] // 10**7 == 817
    assert counted_and_published("qwen3-30b-a3b", active=True)[0] // 10**7 == 335
    table = 102_400 * 2048
    assert (counted_and_published("deepseek-v2-lite-16b", active=True)[0] - table) // 10**7 == 245


def test_active_parameters_are_published_of_experts_alone():
    assert len(ACTIVE) == 17
    assert all(Architecture.preset(preset).experts for preset in ACTIVE)


@pytest.mark.parametrize("preset", [preset for preset, row in ROWS.items() if not row["experts.count"]])
def test_all_parameters_of_a_dense_model_are_active(preset):
    architecture = Architecture.preset(preset)
    assert active_parameters(architecture) == parameters(architecture)


@pytest.mark.parametrize(("preset", "published"), EXACT.items())
def test_parameters_are_exact_where_a_file_tells_them(preset, published):
    assert parameters(Architecture.preset(preset)) == published


def test_nearly_all_published_counts_are_met_to_the_last_parameter():
    exact = sum(parameters(Architecture.preset(i)) == int(row["parameters_published"]) for i, row in ROWS.items())
    assert exact >= 174


def test_rows_have_a_source_and_recalled_ones_are_assumed():
    assert all(row["source"] and row["url"] for row in ROWS.values())
    assert {row["basis"] for row in ROWS.values() if row["verification"] == "recalled"} == {"assumed"}
