"""Positions: rotations, buckets, slopes and waves, by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from tonne.errors import DescriptionError  # noqa: E402
from tonne.model import Transformer  # noqa: E402
from tonne.model.positions import alibi_slopes, deberta_rows, rotated, rotation, sinusoids, t5_buckets  # noqa: E402


def turn(small, width, at, **numerics):
    architecture = small("llama-3-8b", head_width=width, **numerics)
    cosine, sine = rotation(architecture, torch.tensor([[float(at)]]), torch.float64, window=False)
    return cosine, sine


def test_a_rotation_turns_each_pair_by_its_own_angle(small):
    # width 4, base 10000: pairs turn by p and p / 100; the halves (1, 0, 0, 0) -> (cos 3, 0, sin 3, 0)
    states = torch.tensor([[[[1.0, 1, 0, 0]]]], dtype=torch.float64)
    got = rotated(states, turn(small, 4, 3), interleaved=False).flatten().tolist()
    assert got == pytest.approx([math.cos(3), math.cos(0.03), math.sin(3), math.sin(0.03)], abs=1e-15)


def test_neighbours_are_pairs_where_they_are_interleaved(small):
    states = torch.tensor([[[[1.0, 0, 1, 0]]]], dtype=torch.float64)
    got = rotated(states, turn(small, 4, 3, rotary_interleaved=True), interleaved=True).flatten().tolist()
    assert got == pytest.approx([math.cos(3), math.sin(3), math.cos(0.03), math.sin(0.03)], abs=1e-15)


def test_only_part_of_a_head_turns(small):
    states = torch.tensor([[[[1.0, 0, 5, 6]]]], dtype=torch.float64)
    got = rotated(states, turn(small, 4, 3, rotary_width=2), interleaved=False).flatten().tolist()
    assert got == pytest.approx([math.cos(3), math.sin(3), 5, 6], abs=1e-15)


def test_linear_scaling_divides_positions(small):
    scaled = turn(small, 4, 6, rotary_scaling={"kind": "linear", "factor": 2.0})
    assert scaled[0].flatten().tolist() == pytest.approx(turn(small, 4, 3)[0].flatten().tolist(), abs=1e-15)


def test_llama3_scaling_keeps_fast_pairs_and_stretches_slow_ones(small):
    # 8 positions trained on: the pair of angle 1 turns 8 / 2 pi = 1.27 times, that of angle 0.01 0.0127 times; between
    # 1 and 4 rotations the passage is (1.27 - 1) / 3
    scaling = {"kind": "llama3", "factor": 4.0, "original_positions": 8}
    cosine, _ = turn(small, 4, 1, rotary_scaling=scaling)
    kept = (8 / (2 * math.pi) - 1) / 3
    angle = (1 - kept) / 4 + kept
    assert cosine.flatten().tolist()[:2] == pytest.approx([math.cos(angle), math.cos(0.01 / 4)], abs=1e-15)


def test_yarn_multiplies_sines_and_cosines(small):
    # by 0.1 ln 4 + 1; position 0 does not turn
    scaling = {"kind": "yarn", "factor": 4.0, "original_positions": 8}
    cosine, sine = turn(small, 4, 0, rotary_scaling=scaling)
    assert cosine.flatten().tolist() == pytest.approx([0.1 * math.log(4) + 1] * 4, abs=1e-15)
    assert sine.abs().max() == 0


def test_dynamic_scaling_waits_until_the_sequence_is_longer(small):
    scaling = {"kind": "dynamic", "factor": 2.0, "original_positions": 8}
    plain = turn(small, 4, 7)[0]
    assert (turn(small, 4, 7, rotary_scaling=scaling)[0] - plain).abs().max() <= 1e-15
    # 16 positions: base 10000 (2 x 16 / 8 - 1)^(4 / 2) = 90000, so the second pair turns by 15 / 300
    assert turn(small, 4, 15, rotary_scaling=scaling)[0].flatten()[1].item() == pytest.approx(math.cos(0.05), abs=1e-12)


def test_scaling_needs_the_length_trained_on(small):
    with pytest.raises(DescriptionError, match="needs original_positions"):
        turn(small, 4, 1, rotary_scaling={"kind": "yarn", "factor": 4.0})


def test_t5_buckets_by_hand():
    # causal, 8 rows: 4 exact distances, then ln(d / 4) / ln(128 / 4) x 4 rows: 5 -> 4, 12 -> 5, 127 -> 7, 1000 -> 7
    distance = -torch.tensor([0, 3, 5, 12, 127, 1000])
    assert t5_buckets(distance, 8, 128, causal=True).tolist() == [0, 3, 4, 5, 7, 7]
    assert t5_buckets(torch.tensor([-1, 0, 1, 1000]), 8, 128, causal=False).tolist() == [1, 0, 5, 7]


def test_alibi_slopes_by_hand():
    assert alibi_slopes(4) == [1 / 4, 1 / 16, 1 / 64, 1 / 256]
    # three heads: those of two (2^-4, 2^-8), and the first of four
    assert alibi_slopes(3) == [1 / 16, 1 / 256, 1 / 4]


def test_deberta_rows_by_hand():
    assert deberta_rows(torch.tensor([-9, -2, 0, 2, 9]), 8, None).tolist() == [0, 2, 4, 6, 7]
    # rows 8, span 4, middle 2: 5 of at most 8 -> ceil(ln(5 / 2) / ln(7 / 2) x 1) + 2 = 3. Not 7: its ratio of 1 is
    # rounded up by the logarithms of some processors.
    assert deberta_rows(torch.tensor([-5, 2, 5]), 8, 8).tolist() == [1, 6, 7]


def test_waves_of_other_orders():
    place = torch.tensor([2])
    halves = [math.sin(2), math.sin(0.02), math.cos(2), math.cos(0.02)]
    assert sinusoids(place, 4, "halves")[0].tolist() == pytest.approx(halves, abs=1e-15)
    fairseq = [math.sin(2), math.sin(0.0002), math.cos(2), math.cos(0.0002)]
    assert sinusoids(place, 4, "fairseq")[0].tolist() == pytest.approx(fairseq, abs=1e-15)


def test_a_sequence_longer_than_the_table_is_refused(small):
    model = Transformer(small("gpt2-small"))
    with pytest.raises(DescriptionError, match="65 tokens are more than max_positions=64"):
        model.logits(torch.zeros(1, 65, dtype=torch.long))


def test_packed_documents_may_be_longer_together_than_the_table(small):
    model = Transformer(small("gpt2-small"), dtype=torch.float64)
    tokens = torch.zeros(1, 80, dtype=torch.long)
    documents = torch.tensor([[0] * 40 + [1] * 40])
    logits = model.logits(tokens, documents=documents)
    assert (logits[:, :40] - logits[:, 40:]).abs().max() <= 1e-12
    with pytest.raises(DescriptionError, match="70 tokens are more than max_positions=64"):
        model.logits(tokens, documents=torch.tensor([[0] * 70 + [1] * 10]))


def test_given_positions_turn_queries_and_keys(small):
    model, tokens = Transformer(small("llama-3-8b"), dtype=torch.float64), torch.arange(6)[None]
    shifted = model.logits(tokens, positions=torch.arange(100, 106)[None])
    assert (shifted - model.logits(tokens)).abs().max() <= 1e-12  # only distances matter
    spread = model.logits(tokens, positions=3 * torch.arange(6)[None])
    assert (spread - model.logits(tokens)).abs().max() > 1e-9
    with pytest.raises(DescriptionError, match="positions was given, but this model knows tokens by their distance"):
        Transformer(small("bloom-560m")).logits(tokens, positions=tokens)


def test_a_stored_table_of_waves_does_not_learn(small):
    model = Transformer(small("pegasus-large", stored_positions=True), dtype=torch.float64)
    table = model.encoder.inputs.positions.weight
    assert not table.requires_grad
    assert (table[3] - sinusoids(torch.tensor(3), 32, "halves")).abs().max() <= 1e-15  # Pegasus's: all sines first
