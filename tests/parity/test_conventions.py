"""FLOP per token that a source's printed TFLOP/s and tokens/s imply, against the convention that it follows.

Rows print both to two to four digits, so the median over a source's rows is held to 0.3 %, and each row to 3 %.
Fine-tuning rows are left out: frozen weights have no gradients, and sequences are packed.
"""

from __future__ import annotations

import csv
from importlib.resources import files
from statistics import median

import pytest

from tonne.count.conventions import conventions
from tonne.describe.architecture import Architecture


def rows(source):
    table = files("tonne.reference").joinpath("tables", "throughput.csv")
    with table.open(encoding="utf-8", newline="") as lines:
        found = [row for row in csv.DictReader(lines) if source in row["source"]]
    wanted = ("tflops_per_gpu", "tokens_per_s_per_gpu", "layers", "hidden", "heads", "ffn_hidden", "vocab", "seq_len")
    trained = [row for row in found if not any(word in row["model_name"] for word in ("LoRA", "SFT"))]
    return [row for row in trained if all(row[name] for name in wanted) and row["kind"] == "decoder"]


def architecture(row, **fields):
    gated = row["feed_forward"] == "gated"
    head_width = {"head_width": int(row["head_width"])} if row["head_width"] else {}
    return Architecture(
        kind="decoder",
        layers=int(row["layers"]),
        width=int(row["hidden"]),
        heads=int(row["heads"]),
        kv_heads=int(row["kv_heads"] or row["heads"]),
        feed_forward_width=int(row["ffn_hidden"]),
        vocabulary=int(row["vocab"]),
        feed_forward="gated" if gated else "plain",
        max_positions=int(row["seq_len"]),
        **head_width,
        **fields,
    )


def ratios(source, convention, **fields):
    for row in rows(source):
        implied = float(row["tflops_per_gpu"]) * 1e12 / float(row["tokens_per_s_per_gpu"])
        yield conventions(architecture(row, **fields), int(row["seq_len"]))[convention] / implied


@pytest.mark.parametrize(
    ("source", "convention", "fields", "least"),
    [
        ("llm-foundry", "llm-foundry", {"positions": "learned", "bias": False, "norm_bias": False}, 80),
        ("Megatron-Bridge", "megatron-bridge", {"positions": "rotary", "bias": False, "norm": "rms"}, 80),
        ("NVIDIA/NeMo@", "nemo", {"positions": "rotary", "bias": False, "norm": "rms"}, 15),
        ("2104.04473", "megatron", {"positions": "learned"}, 7),
    ],
)
def test_printed_rates_follow_the_convention(source, convention, fields, least):
    found = list(ratios(source, convention, **fields))
    assert len(found) >= least
    assert median(found) == pytest.approx(1, abs=0.003)
    assert found == pytest.approx([1] * len(found), abs=0.03)
