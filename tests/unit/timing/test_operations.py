"""Time of operations on one accelerator, by hand."""

from __future__ import annotations

import pytest

from tonne.timing.operations import attention_s, moving_s, product_s, softmax_s


def test_products_take_their_flop_and_their_operands():
    # 1e15 FLOP at half of 1e15 FLOP/s: 2 s; 1e12 bytes moved one and a half times at 2e12 byte/s: 0.75 s
    assert product_s(1e15, 1e12, 1e15, 2e12, (0.5, 1.5)) == pytest.approx(2.75)


def test_attention_of_the_half_length_takes_twice_as_long():
    assert attention_s(1e15, 1e9, 1e15, (0.5, 300)) == pytest.approx(2.0, rel=1e-6)
    assert attention_s(1e15, 300, 1e15, (0.5, 300)) == pytest.approx(4.0)


def test_moving_is_bytes_over_memory():
    assert moving_s(1e9, 2, 2e12, 1.5) == pytest.approx(1.5e-3)


def test_the_softmax_takes_its_operations_over_the_vector_peak():
    # 1e12 scores of 16 operations at 67e12 a second (H100)
    assert softmax_s(1e12, 67e12, 16) == pytest.approx(16 / 67)
