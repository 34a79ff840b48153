"""How much of its peak a family reaches, from rows that print no layout."""

from __future__ import annotations

import math

import pytest

from tonne.calibrate.families import asked_share, asked_shares, between_families, family_shares, wanted_of
from tonne.calibrate.utilisation import observation
from tonne.count.flops import model_flop
from tonne.reference.families import shared_coefficients
from tonne.reference.table import table
from tonne.reference.time_model import Spread, shipped_time_model
from tonne.timing.search import fastest_layout

ROWS = {row["id"]: row for row in table("throughput")}
COEFFICIENTS = shipped_time_model().coefficients
SPREADS = tuple(shipped_time_model().spreads.values())


def test_what_a_row_is_searched_with():
    # MaxText 52B: 32 layers of 12288 on 192 TPU v4, seven sequences each, all layers recomputed
    found = wanted_of(ROWS["T0793"])
    assert (found.architecture.layers, found.architecture.width, found.accelerators) == (32, 12288, 192)
    assert (found.batch_sequences, found.micro_batch_sequences, found.recomputation) == (1344, 7, "full")
    assert (found.framework, found.capacity_bytes) == ("maxtext", math.inf)


def test_row_of_a_chip_that_reaches_more_asks_for_as_much():
    # a row written with the utilisation that the model has at 1.25 times what fitted families reach
    row = ROWS["T0793"]
    wanted = wanted_of(row)
    layout = fastest_layout(wanted, shared_coefficients(COEFFICIENTS, "TPU v4", "16-bit", 1.25)).chosen
    flop = model_flop(wanted.architecture, wanted.sequence) * 1344
    written = {**row, "mfu": repr(flop / (192 * 275e12 * layout.step_time_s))}
    assert asked_share(written, observation(written), COEFFICIENTS) == pytest.approx(1.25, rel=1e-4)


def test_spread_between_families_by_hand():
    shares = {
        f"matrix_share.{chip}.16-bit": share for chip, share in (("A100", 0.8), ("H100", 0.4), ("Blackwell", 0.2))
    }
    assert between_families(shares) == pytest.approx(math.log(2))  # ln 2, 0 and -ln 2, of two degrees of freedom


@pytest.mark.slow
def test_families_are_drawn_towards_the_fitted_ones():
    spreads = [
        Spread(kind=kind, precision="16-bit", stack="unseen", log_half_width=1.6448536 * sd, rows=1)
        for kind, sd in (("dense", 0.1), ("moe", 0.2))
    ]
    found = {f.family: f for f in family_shares(ROWS.values(), COEFFICIENTS, spreads)}
    asked = asked_shares(ROWS.values(), COEFFICIENTS)
    (models,) = asked["TPU v5e"].values()
    mean = sum(log for _, log in models) / len(models)
    total = between_families(COEFFICIENTS) ** -2 + 0.1**-2
    assert math.log(found["TPU v5e"].share) == pytest.approx(mean * 0.1**-2 / total)
    assert found["TPU v5e"].log_half_width == pytest.approx(1.6448536 / math.sqrt(total))
    assert found["TPU v5e"].rows == 3  # 16, 32 and 64 billion, the fastest of each
    assert found["TPU v6e"].log_half_width > found["TPU v5e"].log_half_width  # mixtures say less
    assert found["*"].log_half_width > found["TPU v6e"].log_half_width


@pytest.mark.slow
def test_shipped_families_are_those_of_the_shipped_coefficients():
    from tonne.reference.families import family_shares as shipped

    for family in family_shares(ROWS.values(), COEFFICIENTS, SPREADS):
        assert shipped()[family.family].share == pytest.approx(family.share, rel=2e-3)
        assert shipped()[family.family].log_half_width == pytest.approx(family.log_half_width, rel=2e-3)
