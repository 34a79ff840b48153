"""Names are found forgivingly, and what stays open is an error that lists the candidates."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonne.errors import UnknownReferenceError
from tonne.reference.accelerators import accelerator
from tonne.reference.cpus import cpu
from tonne.reference.grids import country_iso3, grid
from tonne.reference.nodes import node, nodes_with
from tonne.reference.regions import region


@pytest.mark.parametrize(
    ("query", "expected", "how"),
    [
        ("nvidia-h100-sxm5-80gb", "nvidia-h100-sxm5-80gb", "exact"),
        ("H100", "nvidia-h100-sxm5-80gb", "alias"),
        ("h100-sxm", "nvidia-h100-sxm5-80gb", "alias"),
        ("h100_sxm", "nvidia-h100-sxm5-80gb", "alias"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm5-80gb", "alias"),
        ("A100-SXM4-80GB", "nvidia-a100-sxm4-80gb", "exact"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100-sxm4-80gb", "exact"),
        ("Tesla V100-SXM2-32GB", "nvidia-v100-sxm2-32gb", "alias"),
        ("V100-SXM2-32GB", "nvidia-v100-sxm2-32gb", "exact"),
        ("NVIDIA GeForce RTX 3080", "nvidia-rtx-3080", "exact"),
        ("tpu V4", "google-tpu-v4", "exact"),
        ("H100 SXM5", "nvidia-h100-sxm5-80gb", "words"),
        ("MI300X", "amd-mi300x", "exact"),
        ("NVIDIA H200-SXM5-141GB", "nvidia-h200-sxm-141gb", "alias"),
        ("AMD Instinct MI300X 192GB HBM3", "amd-mi300x", "alias"),
    ],
)
def test_accelerators_by_the_names_people_and_drivers_use(query, expected, how):
    found = accelerator(query)
    assert (found.record.id, found.how) == (expected, how)


def test_a_bare_family_name_leaves_a_note():
    assert accelerator("H100").note == "H100 is taken to mean nvidia-h100-sxm5-80gb"
    assert accelerator("nvidia-h100-sxm5-80gb").note is None


def test_h100_as_its_data_sheet_has_it():
    record = accelerator("H100").record
    assert record.peak_dense_tflop_per_s["bf16"] == pytest.approx(989.4, rel=0.001)  # 1,979 with sparsity
    assert (record.board_power_limit_w, record.memory_gb) == (700.0, 80.0)
    assert "fp4" not in record.peak_dense_tflop_per_s


@pytest.mark.parametrize(("query", "named"), [("300X", "amd-mi300x"), ("MI300", "amd-mi300a"), ("", "accelerators")])
def test_unknown_accelerators_list_near_ones(query, named):
    with pytest.raises(UnknownReferenceError, match=named):
        accelerator(query)


def test_a_name_of_three_cards_is_an_error():
    with pytest.raises(UnknownReferenceError, match=r"ambiguous.*nvidia-quadro-rtx-6000.*nvidia-rtx-6000-ada"):
        accelerator("RTX 6000")


@pytest.mark.parametrize(
    ("query", "zone"),
    [("DE", "DE"), ("de", "DE"), ("Germany", "DE"), ("德国", "DE"), ("DEU", "DE"), ("FR", "FR"), ("UK", "GB"),
     ("US-eGRID-CAMX", "US-eGRID-CAMX"), ("CAMX", "US-eGRID-CAMX"), ("US-CA", "US-CA"), ("California", "US-CA"),
     ("NA", "NA"), ("Namibia", "NA"), ("Turkiye", "TR"), ("Quebec", "CA-QC"), ("四川", "CN-SC"), ("world", "001")],
)  # fmt: skip
def test_places_by_code_and_by_name(query, zone):
    assert grid(query).record.zone == zone


def test_namibia_is_a_country_and_not_a_missing_value():
    assert grid("NA").record.name_en == "Namibia"


def test_a_factor_says_what_it_counts():
    france = grid("FR").record
    assert (france.accounting, france.boundary, france.gas, france.year) == ("lifecycle", "production", "CO2e", 2025)
    assert (france.gco2e_per_kwh, france.basis, france.licence) == (41.44, "published", "CC-BY-4.0")
    assert (france.low, france.high) == (pytest.approx(37.296), pytest.approx(45.584))  # 10 % to either side


def test_the_other_accounting_is_never_silent():
    found = grid("US-eGRID-CAMX")
    assert found.record.accounting == "direct"
    assert found.note == "US-eGRID-CAMX has only a direct factor; lifecycle was asked for"
    assert "CO2 only" in (grid("Beijing").note or "")


def test_a_country_with_both_gives_the_one_asked_for():
    assert grid("CN").record.accounting == "lifecycle"
    assert grid("CN", "direct").record.gco2e_per_kwh == 530.6  # MEE and NBS, 2023
    assert grid("US", "direct").record.zone == "US-eGRID-US"


def test_years():
    assert grid("DE", year=2016).record.gco2e_per_kwh == 498.3
    missing = grid("DE", year=2010)
    assert (missing.record.year, missing.note) == (2014, "DE: no factor of 2010; 2014 is the nearest")


def test_proxies_and_stale_provinces_have_wide_intervals():
    monaco, alberta = grid("Monaco").record, grid("CA-AB").record
    assert (monaco.level, monaco.basis) == ("proxy", "assumed")
    assert (monaco.low, monaco.high) == (pytest.approx(0.6 * 41.44), pytest.approx(1.6 * 41.44))
    assert alberta.low < 385 < alberta.high  # the 2025 value of a live provider, after the coal exit
    assert alberta.basis == "assumed"


def test_georgia_is_an_error_that_lists_both():
    with pytest.raises(UnknownReferenceError, match=r"ambiguous.*GE, US-GA"):
        grid("Georgia")
    assert grid("Georgia (US)").record.zone == "US-GA"
    assert grid("Georgia (country)").record.zone == "GE"


def test_unknown_place_and_accounting():
    with pytest.raises(UnknownReferenceError, match="Utopia"):
        grid("Utopia")
    with pytest.raises(UnknownReferenceError, match="lifecycle"):
        grid("DE", "average")


def test_country_of_a_zone():
    assert [country_iso3(name) for name in ("Germany", "US-CA", "CN-BJ")] == ["DEU", "USA", "CHN"]


def test_regions_with_provider():
    frankfurt = region("aws:eu-central-1").record
    assert (frankfurt.country, frankfurt.grid_zone, frankfurt.id) == ("DE", "DE", "aws:eu-central-1")
    assert region("gcp:us-central1").record.grid_zone == "US-eGRID-MROW"
    assert region("AWS:EU-CENTRAL-1").record.id == "aws:eu-central-1"


def test_bare_region_code():
    found = region("westeurope")
    assert (found.record.id, found.note) == ("azure:westeurope", "westeurope is taken to mean azure:westeurope")


@pytest.mark.parametrize(
    ("query", "named"),
    [("us-east-1", r"ambiguous.*aws:us-east-1.*alibaba:us-east-1"), ("us-central1", "gcp:us-central1, nebius"),
     ("aws:eu-central-9", "aws:eu-central-1"), ("nowhere", "provider:region")],
)  # fmt: skip
def test_shared_and_unknown_region_codes_list_candidates(query, named):
    with pytest.raises(UnknownReferenceError, match=named):
        region(query)


def test_every_region_is_found_by_its_own_id():
    from tonne.reference.table import table

    for row in table("regions"):
        name = f"{row['provider']}:{row['region']}"
        assert region(name).record.id == name


def test_every_id_is_found_by_itself():
    from tonne.reference.table import table

    for row in table("accelerators"):
        assert accelerator(row["id"]).record.id == row["id"]
    for zone in {row["zone"] for name in ("grids_country", "grids_subnational") for row in table(name)}:
        assert grid(zone).record.zone == zone
    for row in table("aliases"):
        look_up = accelerator if row["table"] == "accelerators" else grid
        record = look_up(row["alias"]).record
        assert (record.id if row["table"] == "accelerators" else record.zone) == row["id"], row


def test_nodes():
    assert node("DGX H100").record.accelerators == 8
    assert "dgx-h100" in [record.id for record in nodes_with("nvidia-h100-sxm5-80gb")]
    assert node("p5.48xlarge").record.id == "aws-p5-48xlarge"
    assert nodes_with("nothing") == ()


def test_processors_as_kernels_print_them():
    assert cpu("AMD EPYC 7763 64-Core Processor").record.tdp_w == 280.0
    assert cpu("Intel(R) Xeon(R) Platinum 8168 CPU @ 2.70GHz").record.cores == 24
    with pytest.raises(UnknownReferenceError, match="EPYC"):
        cpu("EPYC 9999")


def test_all_intervals_hold_their_value():
    from tonne.reference.table import table

    for row in table("grids_subnational"):
        for accounting in ("lifecycle", "direct"):
            record = grid(row["zone"], accounting).record
            assert record.low <= record.gco2e_per_kwh <= record.high
            assert math.isfinite(record.high)


@pytest.mark.slow
@given(st.text(max_size=40))
def test_any_text_is_found_or_refused_in_one_way(text):
    for look_up in (accelerator, grid, region, node):
        with contextlib.suppress(UnknownReferenceError):
            assert look_up(text).query == text
