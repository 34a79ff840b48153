"""Looking coefficients up, and the pace of runs from calendar over step utilisation."""

from __future__ import annotations

import math

import pytest

from tonne.errors import UnknownReferenceError
from tonne.estimate import Basis, Estimate
from tonne.reference.calibration import Calibration, family_of, shipped
from tonne.reference.goodput import run_flop
from tonne.reference.pace import PaceEvidence, pace_from, side_spreads

STEP = Estimate(value=0.5, low=0.4, high=0.6, basis=Basis.MODELLED)
GOODPUT = Estimate(value=0.9, low=0.7, high=0.97, basis=Basis.MODELLED)


def run_of(ratio, family="A100", kind="dense-decoder"):
    return PaceEvidence(family=family, kind=kind, ratio=ratio, step=STEP, goodput=GOODPUT)


@pytest.mark.parametrize(
    ("accelerator_id", "family"),
    [
        ("nvidia-a800-sxm4-80gb", "A100"),
        ("nvidia-h800-sxm5-80gb", "H100"),
        ("nvidia-gb200", "Blackwell"),
        ("google-tpu-v4", "TPU v4"),
        ("google-tpu-v4i", "TPU v4i"),
        ("nvidia-h20-96gb", "*"),
        ("graphcore-bow", "*"),
    ],
)
def test_family_is_the_chip_generation(accelerator_id, family):
    assert family_of(accelerator_id) == family


def test_chip_without_rows_takes_the_pooled_fraction_widened():
    unknown = shipped().achieved_peak_fraction("graphcore-bow", "bf16", "dense-decoder")
    known = shipped().achieved_peak_fraction("nvidia-a100-sxm4-80gb", "bf16", "dense-decoder")
    assert unknown.basis == Basis.ASSUMED
    assert unknown.high / unknown.low > known.high / known.low


def test_unknown_kind_says_what_there_is():
    with pytest.raises(UnknownReferenceError, match="Known: dense-decoder, moe, encoder, encoder-decoder"):
        shipped().pace("nvidia-a100-sxm4-80gb", "rnn")


def test_unknown_precision_says_what_to_do():
    with pytest.raises(UnknownReferenceError, match=r"give schedule\.step_utilisation"):
        shipped().achieved_peak_fraction("nvidia-a100-sxm4-80gb", "int8", "moe")


def test_pace_of_equal_runs_is_their_ratio():
    found = pace_from([run_of(0.8)] * 6)
    assert found["A100", "dense-decoder"].value == pytest.approx(0.8, rel=1e-3)
    assert found["A100", "dense-decoder"].basis == Basis.MODELLED
    assert found["*", "dense-decoder"].basis == Basis.ASSUMED


def test_family_is_shrunk_towards_the_others():
    found = pace_from([run_of(0.9)] * 5 + [run_of(0.4, "V100")])
    assert 0.4 < found["V100", "dense-decoder"].value < 0.9


def test_nobody_counts_on_being_faster_than_the_fastest_layout():
    found = pace_from([run_of(1.6)] * 4)
    assert found["A100", "dense-decoder"].value == 1.0
    assert found["A100", "dense-decoder"].high > 1.0  # some runs are


def test_spread_of_runs_is_that_of_step_goodput_and_pace_together():
    # runs at 0.4 and 1.6 of the middle, ln 2 to either side of ln 0.8; one mean is fitted: x (20 / 19)^0.5
    found = pace_from([run_of(0.4), run_of(1.6)] * 10)["A100", "dense-decoder"]
    middle = found.value
    seen = math.log(2) * math.sqrt(20 / 19)
    parts = [math.log(e.value / e.low) / 1.645 for e in (STEP, GOODPUT, found)]
    assert middle == pytest.approx(0.8, rel=0.01)
    assert math.hypot(*parts) == pytest.approx(seen, rel=0.02)


def test_what_other_runs_say_leaves_step_utilisation_alone():
    recovery = Estimate(value=0.9, low=0.7, high=1.0, basis=Basis.MODELLED)
    changed = shipped().with_runs(pace_from([run_of(0.8)] * 6), recovery)
    chip = "nvidia-a100-sxm4-80gb"
    assert changed.pace(chip, "dense-decoder").value == pytest.approx(0.8, rel=1e-3)
    assert changed.recovery_share() == recovery
    assert changed.achieved_peak_fraction(chip, "bf16", "moe") == shipped().achieved_peak_fraction(chip, "bf16", "moe")
    assert isinstance(changed, Calibration)


def test_side_spreads_by_hand():
    # below: sqrt((1 + 9) / 2) = sqrt 5; above: 2
    assert side_spreads([-1.0, -3.0, 2.0]) == (pytest.approx(math.sqrt(5)), 2.0)


def test_work_of_a_run_by_hand():
    row = {"params_active": "", "params_total": "100", "tokens_trained": "10", "kind": "decoder",
           "layers": "2", "hidden": "3", "seq_len": "5"}  # fmt: skip
    assert run_flop(row) == 10 * (600 + 6 * 30)
    assert run_flop({**row, "kind": "encoder"}) == 10 * (600 + 12 * 30)
    assert run_flop({**row, "kind": "encdec", "target_tokens": ""}) == 3000
    assert run_flop({**row, "kind": "encdec", "target_tokens": "4"}) == 3 * 100 * (10 + 4)
    assert run_flop({**row, "tokens_trained": ""}) is None
