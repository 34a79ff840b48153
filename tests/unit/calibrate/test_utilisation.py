"""Work of a row in one convention; sources weigh the same; the table in the package is what the fit gives."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from tonne.calibrate.table import fitted_coefficients, write_table
from tonne.calibrate.utilisation import (
    Observation,
    best_layouts,
    flop_per_token,
    model_flop_per_s,
    observations,
    publisher,
    step_coefficients,
)
from tonne.reference.table import TABLES, table

CELL = ("A100", "16-bit", "dense-decoder")
SHAPE = {
    "kind": "decoder", "layers": "2", "hidden": "8", "ffn_hidden": "32", "heads": "2", "kv_heads": "1",
    "head_width": "4", "vocab": "100", "seq_len": "16", "experts": "", "experts_active": "", "experts_shared": "",
    "feed_forward": "gated",
}  # fmt: skip


def seen(source, fraction, model="m"):
    return Observation(cell=CELL, source=source, model=model, fraction=fraction)


def test_flop_per_token_by_hand():
    # a layer: query and output 2 x 64, key and value 2 x 8 x 4, feed-forward 3 x 8 x 32: 960; two layers 1920
    # logits 800; attention 6 x 2 layers x 8 x 16 = 1536; 6 (1920 + 800) + 1536 = 17856
    assert flop_per_token(SHAPE) == 17_856


def test_speed_comes_from_the_step_time_not_from_printed_tflops():
    row = {**SHAPE, "step_time_s": "2", "global_batch_seqs": "4", "n_gpus": "8", "tokens_per_s_per_gpu": "",
           "tflops_per_gpu": "999", "tflops_definition": "hardware"}  # fmt: skip
    assert model_flop_per_s(row) == 17_856 * 4 * 16 / 2 / 8


def test_latent_attention_is_not_counted_from_the_shape():
    assert flop_per_token({**SHAPE, "kind": "moe", "experts": "8", "kv_heads": ""}) is None


def test_a_repository_is_one_source():
    assert publisher("NVIDIA/NeMo@8e3d:docs/a.md") == publisher("NVIDIA/NeMo:docs/b.md") == "NVIDIA/NeMo"


def test_lora_whole_runs_and_unknown_precision_are_left_out():
    used = observations(table("throughput"))
    assert len(used) > 400
    assert not any("LoRA" in o.model for o in used)
    assert not any(o.source.startswith(("mlcommons", "meta-llama")) for o in used)


def test_of_a_sweep_the_fastest_layout_counts():
    assert best_layouts([seen("a", 0.3), seen("a", 0.5), seen("a", 0.4, "other")]) == [
        seen("a", 0.5), seen("a", 0.4, "other"),
    ]  # fmt: skip


def test_a_table_of_many_rows_weighs_as_one_source():
    few = {(c.family, c.precision, c.kind): c for c in step_coefficients([seen("a", 0.25), seen("b", 0.36)])}
    many = {(c.family, c.precision, c.kind): c for c in step_coefficients([*[seen("a", 0.25)] * 115, seen("b", 0.36)])}
    assert many[CELL].estimate.value == pytest.approx(few[CELL].estimate.value, rel=1e-9)
    assert few[CELL].estimate.value == pytest.approx(math.sqrt(0.25 * 0.36), rel=0.01)  # 0.3, the geometric mean
    assert few[CELL].rows == 2


def test_family_never_seen_is_wider_and_assumed():
    cells = {(c.family, c.precision, c.kind): c.estimate for c in step_coefficients([seen("a", 0.25), seen("b", 0.36)])}
    pooled, known = cells[("*", *CELL[1:])], cells[CELL]
    assert pooled.basis == "assumed"
    assert known.basis == "modelled"
    assert pooled.high / pooled.low > known.high / known.low


@pytest.mark.slow
def test_table_in_the_package_is_what_the_fit_gives(tmp_path):
    write_table(fitted_coefficients(), tmp_path / "calibration.csv")
    assert (tmp_path / "calibration.csv").read_text() == (TABLES / "calibration.csv").read_text()


def test_table_keys_are_unique_and_ordered():
    rows = table("calibration")
    counts = Counter((r["quantity"], r["family"], r["precision"], r["kind"]) for r in rows)
    assert set(counts.values()) == {1}
    assert all(0 < float(r["low"]) <= float(r["value"]) <= float(r["high"]) for r in rows)
    assert all(float(r["high"]) <= 1 for r in rows if r["quantity"] != "pace")  # shares; a run may outpace its forecast
    assert all(float(r["value"]) <= 1 for r in rows)
