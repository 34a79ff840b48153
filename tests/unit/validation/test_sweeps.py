"""Sweeps by hand, from a few rows."""

from __future__ import annotations

import pytest

from tonne.reference.step_outside import OutsideStep
from tonne.reference.step_residuals import StepResidual
from tonne.reference.step_sweeps import sweep_records
from tonne.validation.sweeps import sweeps


def row(name, source, *, model="MEGATRON-GPT 22B", factor=1.0, length=2048, family="A100"):
    return StepResidual(
        id=name, source=source, model=model, kind="dense", precision="16-bit", family=family, accelerators=8,
        sequence_length=length, measured_s=2.0, fitted_s=2.0, known_s=2.0 * factor, open_s=2.0 * factor,
        unseen_s=2.0 * factor,
    )  # fmt: skip


def outside(name, check, predicted):
    return OutsideStep(
        id=name, check=check, source="s", model="m", accelerators=8, layout="data 8", measured_s=2.0,
        predicted_s=predicted,
    )  # fmt: skip


def test_a_sweep_takes_its_rows_its_stack_and_its_rival():
    rows = [row("a", "arXiv 2205.05198", factor=1.10), row("b", "arXiv 2205.05198", factor=0.96), row("c", "other")]
    (found,) = sweeps(rows, [])
    assert found.name == "Korthikanti 2022, table 5"
    assert (found.n, found.peer, found.peer_mean) == (2, "Calculon", 0.0365)
    assert found.mean == pytest.approx((0.10 + 0.04) / 2)
    assert found.bias == pytest.approx(0.03)
    assert [r.error for r in found.rows] == pytest.approx([0.10, -0.04])


def test_lengths_of_one_model_on_one_chip_stand_in_order():
    names = {"model": "MPT-3B", "factor": 1.05}
    source = "mosaicml/llm-foundry"
    rows = [row("a", source, length=4096, **names), row("b", source, length=512, **names)]
    rows += [row("c", source, length=512, family="H100", **names)]
    (found,) = sweeps(rows, [])
    assert [r.label for r in found.rows] == ["512", "4096"]
    assert found.seen == "without any row of the model"


def test_rows_from_outside_are_sweeps_of_their_check():
    found = sweeps([], [outside("a", "LoRA", 2.2), outside("b", "LoRA", 1.8), outside("c", "MLPerf", 3.0)])
    assert [(s.name, s.n) for s in found] == [("LoRA", 2), ("MLPerf", 1)]
    assert found[0].mean == pytest.approx(0.1)
    assert found[1].rows[0].label == "m, 8: data 8"
    assert all(s.seen == "never fitted" for s in found)


def test_every_sweep_of_the_table_names_a_field():
    assert len(sweep_records()) == 6
    assert {s.label for s in sweep_records()} <= set(StepResidual.__dataclass_fields__)
