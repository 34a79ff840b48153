"""Constants of measuring: every row can be traced and can be right."""

from __future__ import annotations

import pytest

from tonne.errors import UnknownReferenceError
from tonne.reference.measuring import measuring_constant
from tonne.reference.table import table

ROWS = table("measuring_constants")
UNIT_OF = {"_w": "W", "_s": "s", "_bytes": "bytes"}


def test_names_are_unique():
    names = [row["name"] for row in ROWS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_row_is_traceable_and_its_interval_holds_it(row):
    known = {source["key"] for source in table("sources")} | {"tonne"}
    assert row["source"] in known
    assert row["basis"] in {"measured", "published", "modelled", "assumed"}
    assert row["note"]
    assert row["locator"] or row["source"] == "tonne"
    assert row["unit"] == next((unit for end, unit in UNIT_OF.items() if row["name"].endswith(end)), "1")
    constant = measuring_constant(row["name"])
    assert constant.low <= constant.value <= constant.high


def test_machine_factor_is_the_spread_that_was_found():
    """Log-normal with a standard deviation of 0.36: exp(+-1.645 x 0.36)."""
    factor = measuring_constant("cpu_machine_factor")
    assert factor.low == pytest.approx(0.553, abs=5e-4)
    assert factor.high == pytest.approx(1.808, abs=5e-4)


def test_module_of_memory_is_its_idle_power_and_a_quarter_of_its_range():
    idle, more, share = (measuring_constant(n).value for n in ("dimm_idle_w", "dimm_range_w", "dimm_bandwidth_share"))
    assert measuring_constant("dimm_w").value == idle + share * more


def test_unknown_constant_says_what_there_is():
    with pytest.raises(UnknownReferenceError, match=r"has no 'x'\. Known: nvml_error_fraction"):
        measuring_constant("x")
