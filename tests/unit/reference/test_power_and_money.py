"""Power families, embodied emissions, prices and the rows that people browse."""

from __future__ import annotations

import math

import pytest

from tonne.errors import UnknownReferenceError
from tonne.reference.browse import TABLES_OF, rows
from tonne.reference.embodied import embodied_for, host_server_embodied, lifetime_years, utilisation_fraction
from tonne.reference.power import power_family
from tonne.reference.prices import accelerator_hour_price, electricity_price
from tonne.reference.sources import source, source_keys_at
from tonne.reference.table import table

H100 = "nvidia-h100-sxm5-80gb"


@pytest.mark.parametrize(
    ("accelerator_id", "family"),
    [(H100, "h100-sxm"), ("nvidia-h800-sxm5-80gb", "h100-sxm"), ("nvidia-a800-sxm4-80gb", "a100-sxm"),
     ("nvidia-a100-pcie-80gb", "a100-pcie"), ("nvidia-v100-sxm2-16gb", "v100"), ("nvidia-t4", "older-cards"),
     ("google-tpu-v2", "tpu-v2"), ("google-tpu-v4", "tpu-v4"), ("amd-mi300x", "wide"), ("google-tpu-v5p", "wide")],
)  # fmt: skip
def test_families(accelerator_id, family):
    assert power_family(accelerator_id).family == family


def test_h100_node_is_accelerator_plus_host():
    h100 = power_family(H100)
    # 0.88 x 700 W + 300 W = 916 W
    assert h100.fraction_value * 700 + h100.host_w == pytest.approx(h100.whole_server_w)


def test_v100_and_p100_parts_add_to_the_measured_system():
    v100, p100 = power_family("nvidia-v100-sxm2-32gb"), power_family("nvidia-p100-sxm2")
    assert v100.fraction_value * 300 + v100.host_w == pytest.approx(325)  # Patterson 2021, table 3
    assert p100.fraction_value * 300 + p100.host_w == pytest.approx(271)


def test_of_tpus_only_the_whole_server_is_known():
    tpu = power_family("google-tpu-v3")
    assert (tpu.fraction_value, tpu.host_w) == (None, None)
    assert (tpu.whole_server_low, tpu.whole_server_w, tpu.whole_server_high) == (235, 283, 340)


def test_a_chip_without_a_family_has_a_wide_assumed_prior():
    chip = power_family("amd-mi300x")
    assert chip.basis == "assumed"
    # server = 1.35 x accelerator: 0.82 x 750 W x 0.35
    assert chip.host_w == pytest.approx(0.82 * 750 * 0.35)


def test_a_source_can_be_left_out():
    without = {"patterson2021carbon"}
    assert power_family("google-tpu-v3", without).whole_server_w == pytest.approx(289)  # LaMDA alone is left
    v100 = power_family("nvidia-v100-sxm2-32gb", without)
    assert v100.whole_server_w == pytest.approx(342)  # XLM-R alone is left
    assert v100.basis == "assumed"
    # TPU v2 has no other source: the mean ratio of v3 (289/450) and v4 (378.5 and 326 of 340) to the limit, x 280 W
    ratio = math.sqrt(289 / 450 * math.sqrt(378.5 * 326) / 340)
    assert power_family("google-tpu-v2", without).whole_server_w == pytest.approx(280 * ratio)
    assert power_family(H100, without) == power_family(H100)


def test_every_accelerator_has_ordered_intervals_whatever_is_left_out():
    keys = {row["source_key"] for row in table("power_evidence")}
    for row in table("accelerators"):
        for left_out in [set(), *({key} for key in keys), keys]:
            family = power_family(row["id"], left_out)
            for part, central in (("fraction", "value"), ("host", "w"), ("network", "w"), ("whole_server", "w")):
                low, value, high = (getattr(family, f"{part}_{end}") for end in ("low", central, "high"))
                assert value is None or 0 <= low <= value <= high, (row["id"], left_out, part)
            assert family.fraction_high is None or family.fraction_high <= 0.98


def test_unknown_accelerator_has_no_family():
    with pytest.raises(UnknownReferenceError, match="tonne reference accelerators"):
        power_family("nothing")


def test_embodied():
    h100 = embodied_for(H100)
    assert h100 is not None
    assert h100.low < 164 < h100.kgco2e < 200 < h100.high == 575.1
    assert host_server_embodied().kgco2e == 2500  # BLOOM, per 8-accelerator server
    assert embodied_for("google-tpu-v5p") is None
    assert (lifetime_years().low, lifetime_years().high) == (3, 6)
    assert 0 < utilisation_fraction().low < utilisation_fraction().high < 1


def test_prices():
    h100 = accelerator_hour_price(H100)
    assert h100 is not None
    # points of 2026: 2.35 2.95 3.00 4.25 6.88
    assert (h100.usd, h100.low, h100.high, h100.date) == (3.0, 2.35, 6.88, "2026-05")
    assert accelerator_hour_price("apple-m1") is None
    germany = electricity_price("DE")
    assert germany is not None
    assert (germany.usd, germany.date, germany.basis) == (0.2522, "2024", "published")
    poland = electricity_price("Poland")
    assert poland is not None
    assert "wholesale" in poland.note
    assert electricity_price("Utopia") is None


@pytest.mark.parametrize("name", TABLES_OF)
def test_browsed_rows_say_where_they_are_from(name):
    for row in rows(name):
        assert {"source", "year", "licence", "basis"} <= row.keys()
        assert all(isinstance(value, str) for value in row.values())


def test_browsing_by_name():
    assert {row["id"] for row in rows("accelerators", "H100")} == {
        H100, "nvidia-h100-pcie-80gb", "nvidia-h100-nvl-94gb"}  # fmt: skip
    assert {row["zone"] for row in rows("grids", "德国")} == {"DE"}
    assert {row["zone"] for row in rows("grids", "Georgia")} == {"GE", "US-GA"}
    assert [row["zone"] for row in rows("grids") if row["name_en"] == "Namibia"] == ["NA"]
    assert [row["provider"] for row in rows("regions", "aws:eu-central-1")] == ["aws"]


def test_browsing_errors_list_what_is_known():
    with pytest.raises(UnknownReferenceError, match="accelerators"):
        rows("planets")
    with pytest.raises(UnknownReferenceError, match="Close"):
        rows("accelerators", "H1000X")


def test_sources_by_key_and_by_address():
    assert source("patterson2021carbon").url == "https://arxiv.org/abs/2104.10350"
    assert source_keys_at("https://arxiv.org/abs/2104.10350") == {"patterson2021carbon"}
    assert source_keys_at("https://example.org") == frozenset()
    with pytest.raises(UnknownReferenceError, match="nobody2020"):
        source("nobody2020")
