"""Every number from the world can be traced, and no table lost a row."""

from __future__ import annotations

from collections import Counter

import pytest

from tonne.reference.table import table

BASES = {"measured", "published", "modelled", "assumed"}

COUNTS = {"accelerators": 156, "nodes": 61, "cpus": 2285, "grids_country": 2536, "regions": 335, "pue_wue": 208,
          "embodied": 82, "prices": 477, "aliases": 195, "grid_hours": 3168}  # fmt: skip

KEYS = {
    "accelerators": ("id",),
    "nodes": ("id",),
    "cpus": ("vendor", "model"),
    "grids_country": ("zone", "year"),
    "grids_mix": ("zone", "year"),
    "grids_subnational": ("zone", "year", "accounting"),
    "regions": ("provider", "region"),
    "pue_wue": ("provider", "site", "year", "scope"),
    "embodied": ("key",),
    "embodied_cards": ("accelerator_id",),
    "embodied_defaults": ("key",),
    "prices": ("kind", "key", "date", "note", "source"),
    "power_families": ("family",),
    "power_family_members": ("accelerator_id",),
    "power_evidence": ("id",),
    "spreads": ("table", "rule"),
    "thresholds": ("key",),
    "step_constants": ("name",),
    "grid_hours": ("zone", "month", "hour_utc"),
    "grid_hours_zones": ("zone",),
    "sources": ("key",),
    "aliases": ("table", "alias"),
}

INTERVALS = [
    ("embodied", "kgco2e_low", "kgco2e", "kgco2e_high"),
    ("embodied_cards", "kgco2e_low", "kgco2e", "kgco2e_high"),
    ("embodied_defaults", "low", "value", "high"),
    ("power_families", "fraction_low", "fraction_value", "fraction_high"),
    ("power_families", "host_low", "host_w", "host_high"),
    ("power_families", "host_ratio_low", "host_ratio", "host_ratio_high"),
    ("power_families", "network_low", "network_w", "network_high"),
    ("power_families", "whole_server_low", "whole_server_w", "whole_server_high"),
]

# table, column, lowest and highest value that can be right
RANGES = [
    ("accelerators", "board_power_limit_w", 5, 30_000),
    ("accelerators", "memory_gb", 0.1, 2_000),
    ("cpus", "tdp_w", 0.5, 1_000),
    ("grids_country", "gco2e_per_kwh", 0, 1_500),
    ("grids_subnational", "gco2e_per_kwh", 0, 1_500),
    ("regions", "pue", 1, 2.6),
    ("regions", "wue_l_per_kwh", 0, 3),
    ("regions", "lat", -90, 90),
    ("regions", "lon", -180, 180),
    ("pue_wue", "pue", 1, 2.6),
    ("pue_wue", "wue_l_per_kwh", 0, 3),
    ("grid_hours", "relative_intensity", 0.1, 3),
    ("grid_hours", "relative_std", 0, 1.5),
    ("spreads", "low_factor", 0.01, 1),
    ("spreads", "high_factor", 1, 10),
]


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_tables_have_all_their_rows(name, count):
    assert len(table(name)) == count


def test_countries_aggregates_and_zones_are_all_there():
    levels = Counter({row["zone"]: row["level"] for row in table("grids_country")}.values())
    assert levels == {"country": 213, "proxy": 30, "aggregate": 8}
    assert len({row["zone"] for row in table("grids_subnational")}) == 158


def test_two_accountings_of_a_province_are_two_rows():
    quebec = {row["accounting"] for row in table("grids_subnational") if row["zone"] == "CA-QC"}
    assert quebec == {"direct", "lifecycle"}


@pytest.mark.parametrize("name", sorted(set(KEYS) - {"aliases", "sources"}))
def test_every_row_says_where_it_is_from(name):
    for row in table(name):
        assert row["source"], row
        assert row["basis"] in BASES, row


@pytest.mark.parametrize("name", [n for n in KEYS if "licence" in table(n)[0]])
def test_every_licence_is_stated(name):
    assert [row for row in table(name) if not row["licence"]] == []


@pytest.mark.parametrize(("name", "columns"), KEYS.items())
def test_keys_are_unique(name, columns):
    counted = Counter(tuple(row[column] for column in columns) for row in table(name))
    assert [key for key, count in counted.items() if count > 1] == []


@pytest.mark.parametrize(("name", "low", "value", "high"), INTERVALS)
def test_intervals_hold_their_value(name, low, value, high):
    for row in table(name):
        if row[low] and row[high]:
            assert float(row[low]) <= float(row[value]) <= float(row[high]), row


@pytest.mark.parametrize(("name", "column", "lowest", "highest"), RANGES)
def test_values_can_be_right(name, column, lowest, highest):
    for row in table(name):
        if row[column]:
            assert lowest <= float(row[column]) <= highest, row


@pytest.mark.parametrize("name", [n for n in KEYS if "verification" in table(n)[0]])
def test_recalled_rows_are_assumed(name):
    for row in table(name):
        if row["verification"] in {"recalled", "estimate"}:
            assert row["basis"] == "assumed", row


def test_proxies_and_canadian_provinces_are_assumed():
    for row in table("grids_country"):
        assert (row["level"] == "proxy") == (row["basis"] == "assumed") == bool(row["proxy_of"])
    assert {row["basis"] for row in table("grids_subnational") if row["country_iso2"] == "CA"} == {"assumed"}


def test_no_board_averages_its_limit():
    fractions = [float(row["fraction_high"]) for row in table("power_families") if row["fraction_high"]]
    assert max(fractions) <= 0.98


def test_tables_join():
    accelerators = {row["id"] for row in table("accelerators")}
    families = {row["family"] for row in table("power_families")}
    sources = {row["key"] for row in table("sources")}
    zones = {row["zone"] for name in ("grids_country", "grids_subnational") for row in table(name)}
    assert {row["accelerator_id"] for row in table("power_family_members")} == accelerators
    assert {row["family"] for row in table("power_family_members")} <= families
    assert {row["accelerator_id"] for row in table("nodes")} <= accelerators
    assert {row["accelerator_id"] for row in table("embodied_cards")} <= accelerators
    assert {row["id"] for row in table("aliases") if row["table"] == "accelerators"} <= accelerators
    assert {row["id"] for row in table("aliases") if row["table"] == "grids"} <= zones
    assert {row["grid_zone"] for row in table("regions")} <= zones
    assert {row["source_key"] for row in table("power_evidence")} <= sources
    assert {key for row in table("power_families") for key in row["source_key"].split()} <= sources


def test_sources_say_where_to_look():
    for row in table("sources"):
        assert row["title"], row
        assert row["locator"], row
        assert 1970 < int(row["year"]) < 2030, row
