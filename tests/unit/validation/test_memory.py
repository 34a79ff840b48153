from __future__ import annotations

import re

import pytest

from tonne.calibrate.memory_table import fitted_memory_model
from tonne.reference.measured_memory import memory_readings, memory_residuals
from tonne.reference.memory_model import shipped_memory_model
from tonne.reference.table import table
from tonne.validation.memory import validate_memory


def test_allocated_memory_is_within_what_is_asked():
    found = validate_memory()
    allocated = found.slices[0]
    assert allocated.name == "allocated"
    assert allocated.n == 19  # layouts of SimuMax's 43 rows: the number of micro-batches moves none
    assert allocated.median <= 0.03
    assert allocated.p90 <= 0.08
    assert found.passed


def test_intervals_hold_nine_of_ten():
    for found in validate_memory().slices[:3]:
        assert found.coverage_low <= 0.90 <= found.coverage_high


@pytest.mark.slow
def test_calibration_is_what_the_tables_say():
    coefficients, residuals = fitted_memory_model()
    for name, value in coefficients.items():
        assert shipped_memory_model().coefficients[name] == pytest.approx(value, rel=1e-4)
    for fresh, stored in zip(residuals, memory_residuals(), strict=True):
        assert stored.known_gib == pytest.approx(fresh.known_gib, rel=1e-4)


def test_readings_are_those_of_the_rows_that_they_name():
    notes = {row["id"]: row["notes"] for row in table("throughput")}
    patterns = {"allocated": r"real ([\d.]+) GiB", "in use": r"peak mem (\d+)GB"}
    for reading in memory_readings():
        if reading.row and reading.quantity in patterns:
            printed = re.search(patterns[reading.quantity], notes[reading.row])
            assert printed is not None
            assert float(printed[1]) == reading.gib


def test_every_row_that_prints_what_was_allocated_is_a_layout_of_the_table():
    layouts = {
        (r.model, r.sequence_length, r.tensor, r.pipeline, r.context, r.expert, r.gib) for r in memory_readings()
    }
    for row in table("throughput"):
        printed = re.search(r"real ([\d.]+) GiB", row["notes"])
        if printed is not None:
            model = row["model_name"].split(" (")[0]
            split = (int(row[name] or 1) for name in ("tp", "pp", "cp", "ep"))
            assert (model, int(row["seq_len"]), *split, float(printed[1])) in layouts
