"""The line of assumed batches, from batches that sources print."""

from __future__ import annotations

import math

import pytest

from tonne.calibrate.batches import fitted_line, printed_batches, publisher, write_batch_line
from tonne.reference.batches import batch_line
from tonne.reference.table import TABLES, table


def row(**fields):
    plain = {"source": "a/b:README.md [x]", "model_name": "m", "kind": "decoder", "notes": "", "architecture_id": "",
             "seq_len": "1000", "global_batch_seqs": "10", "n_gpus": "8"}  # fmt: skip
    return plain | fields


def test_publisher_is_the_repository_or_the_paper():
    assert publisher("mosaicml/llm-foundry:scripts/README.md [H100 80GB]") == "mosaicml/llm-foundry"
    assert publisher("NVIDIA/NeMo@4c73f77670:docs/performance_summary.md") == "NVIDIA/NeMo"
    assert publisher("mlcommons/training_results_v3.0:NVIDIA/results") == "mlcommons"
    assert publisher("arXiv 2104.04473 Table 1") == "arXiv 2104.04473"
    assert publisher("arXiv 2302.13971 section 2.4") == "arXiv 2302.13971"


def test_a_publisher_counts_once_for_each_number_of_accelerators():
    rows = [row(), row(global_batch_seqs="1000"), row(global_batch_seqs="40"), row(model_name="n")]
    # the median of m is 40,000 tokens, that of n 10,000: their geometric mean is 20,000
    assert printed_batches(rows) == {("a/b", 8): pytest.approx(20_000)}


@pytest.mark.parametrize(
    "other", [{"kind": "encoder"}, {"model_name": "7B LoRA"}, {"notes": "recalled"}, {"model_name": "4-layer slice"}]
)
def test_what_is_no_pre_training_is_left_out(other):
    assert printed_batches([row(**other)]) == {}


def test_runs_stand_beside_measurements_but_not_twice():
    run = {
        "org": "A",
        "model": "x",
        "architecture_id": "x",
        "seq_len": "2000",
        "global_batch_seqs": "5",
        "n_chips": "8",
    }
    assert printed_batches([row()], [run]) == {("a/b", 8): pytest.approx(10_000), ("A", 8): pytest.approx(10_000)}
    assert list(printed_batches([row(architecture_id="x")], [run])) == [("a/b", 8)]


def test_line_by_hand():
    # 1 token on 10, 10 on 1,000 and 100 on 1,000 accelerators: a line through (10, 1) and the middle (1000, 10^1.5);
    # slope 0.75; the two are off by a factor of 10^0.5, the deviation of three pairs and two numbers fitted is
    # (2 x 0.5^2 / 1)^0.5 = 0.7071 decades
    line = fitted_line({("a", 10): 1.0, ("a", 1000): 10.0, ("b", 1000): 100.0})
    assert line.exponent == pytest.approx(0.75)
    assert line.tokens == pytest.approx(10**1.5)
    assert math.log10(line.spread_factor) == pytest.approx(math.sqrt(0.5))


def test_shipped_line_is_that_of_the_tables(tmp_path):
    write_batch_line(table("throughput"), table("published_runs"), tmp_path / "batches.csv")
    assert (tmp_path / "batches.csv").read_text("utf-8") == (TABLES / "assumed_batch.csv").read_text("utf-8")


def test_batches_grow_with_the_accelerators_more_slowly_than_these():
    line = batch_line()
    assert 0.2 < line.exponent < 0.6
    assert 1.5 < line.spread_factor < 4
