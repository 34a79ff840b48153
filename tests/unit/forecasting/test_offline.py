"""What a set of examples takes on a chip, worked out by hand."""

from __future__ import annotations

import pytest

from tonne.count.inference import generation_flop, prefill_flop
from tonne.describe.architecture import Architecture, TaskHead
from tonne.errors import UnknownReferenceError
from tonne.estimate import Basis
from tonne.forecasting.offline import ON_A_PROCESSOR, Measured, Offline, forecast_offline

CHIP = Measured(name="this machine", peak_flop_per_s=2e11, bandwidth_bytes_per_s=1e10)
SHAPE = {"layers": 4, "width": 256, "heads": 4, "vocabulary": 1000, "positions": "rotary"}
ENCODER = Architecture(kind="encoder", task_head=TaskHead(labels=3), **SHAPE)
DECODER = Architecture(kind="decoder", **SHAPE)


def value(name):
    return ON_A_PROCESSOR[name].value


def test_a_pass_of_an_encoder_is_its_products_and_its_overhead():
    # A layer has 12 W^2 numbers: 786,432 multiply-adds a token, and 2 n W for scores and sums; the head 3 W a sequence.
    flop = 2 * (100 * 4 * (12 * 256**2 + 2 * 100 * 256) + 3 * 256)
    found = forecast_offline(ENCODER, Offline(read=100, batch_sequences=8), CHIP)
    assert found.flop_per_example == flop
    assert found.flop_per_example == prefill_flop(ENCODER, 100)
    reached = 2e11 * value("prefill_peak_fraction") * 256 / (256 + value("narrow_width"))
    wanted_s = flop / reached + 4 * value("layer_s") / 8
    assert found.time_per_example_s.value == pytest.approx(wanted_s)
    assert found.time_per_example_s.low < wanted_s < found.time_per_example_s.high
    assert found.time_per_example_s.basis is Basis.ASSUMED
    assert found.chip == "this machine"
    assert "200 GFLOP/s and reads 10 GB/s" in found.notes[0]


def test_writing_adds_a_step_for_each_token_after_the_first():
    one = forecast_offline(DECODER, Offline(read=50, written=1, batch_sequences=1), CHIP).time_per_example_s.value
    found = forecast_offline(DECODER, Offline(read=50, written=11, batch_sequences=1), CHIP)
    assert found.flop_per_example == generation_flop(DECODER, 50, 11)
    # A step reads 4 x 12 W^2 numbers of the layers and 1,000 W of the table, 4 bytes each, and a cache that is small.
    weights_bytes = 4 * (4 * 12 * 256**2 + 1000 * 256)
    cache_bytes = 4 * 2 * 4 * 256 * 56  # keys and values of 56 tokens in the mean, in 4 layers
    reading_s = (weights_bytes + cache_bytes) / (1e10 * value("bandwidth_fraction"))
    step_s = value("decode_time_factor") * (reading_s + 4 * value("layer_s"))
    assert found.time_per_example_s.value - one == pytest.approx(10 * step_s, rel=0.02)


def test_beams_are_written_side_by_side_and_read_once():
    read = generation_flop(DECODER, 50, 1)
    one = forecast_offline(DECODER, Offline(read=50, written=11, batch_sequences=2), CHIP)
    three = forecast_offline(DECODER, Offline(read=50, written=11, batch_sequences=2, beams=3), CHIP)
    assert three.flop_per_example - read == 3 * (one.flop_per_example - read)
    # A step of two sequences and one of six read the same weights: the time grows, but not threefold.
    assert 1.0 < three.time_per_example_s.value / one.time_per_example_s.value < 2.0


def test_predicting_everywhere_counts_the_table_at_each_place():
    last = forecast_offline(DECODER, Offline(read=50, batch_sequences=1), CHIP)
    all_places = forecast_offline(DECODER, Offline(read=50, batch_sequences=1, everywhere=True), CHIP)
    assert all_places.flop_per_example - last.flop_per_example == 49 * 2 * 1000 * 256
    assert all_places.time_per_example_s.value > last.time_per_example_s.value


def test_labels_everywhere_are_those_of_the_whole_pass():
    one = forecast_offline(ENCODER, Offline(read=50, batch_sequences=1), CHIP)
    all_places = forecast_offline(ENCODER, Offline(read=50, batch_sequences=1, everywhere=True), CHIP)
    assert all_places.flop_per_example - one.flop_per_example == 49 * 2 * 3 * 256


def test_weights_are_read_as_they_lie_and_multiplied_as_asked():
    whole = forecast_offline(DECODER, Offline(read=5, written=50, batch_sequences=1), CHIP).time_per_example_s.value
    mixed = Offline(read=5, written=50, batch_sequences=1, precision="bf16")
    small = Offline(read=5, written=50, batch_sequences=1, precision="bf16", held="bf16")
    assert forecast_offline(DECODER, mixed, CHIP).time_per_example_s.value == pytest.approx(whole, rel=0.01)
    assert forecast_offline(DECODER, small, CHIP).time_per_example_s.value < 0.8 * whole


def test_a_chip_of_the_tables_takes_the_fitted_coefficients():
    work = Offline(read=200, written=20, batch_sequences=16, precision="bf16")
    found = forecast_offline(DECODER, work, "H100-SXM")
    slower = forecast_offline(DECODER, work, "A100-80GB")
    assert found.time_per_example_s.basis is Basis.MODELLED
    assert found.time_per_example_s.value <= slower.time_per_example_s.value
    assert "serving engines" in found.notes[-1]
    with pytest.raises(UnknownReferenceError, match="abacus"):
        forecast_offline(DECODER, work, "abacus")
