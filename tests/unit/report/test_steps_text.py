"""The validation of step times as text: what is asked, what was reached, and the rows."""

from __future__ import annotations

from tonne.reference.step_residuals import StepResidual
from tonne.report.steps_text import lines, markdown, peers_markdown, sweeps_markdown, worst_markdown
from tonne.validation.throughput import validate_steps


def row(name, factor, *, source="s", kind="dense", precision="16-bit"):
    return StepResidual(
        id=name, source=source, model=name.upper(), kind=kind, precision=precision, family="H100", accelerators=16,
        sequence_length=2048, measured_s=2.0, fitted_s=2.0, known_s=2.0 * factor, open_s=2.0 * factor,
        unseen_s=2.0 * factor,
    )  # fmt: skip


def whole(worst=1.1):
    rows = [row("a", 1.02), row("b", 0.98, source="t"), row("c", 1.02, source="t"), row("d", worst)]
    rows += [row("e", 1.02, precision="fp8"), row("f", 1.02, kind="moe"), row("g", 1.0, kind="moe", precision="fp8")]
    return validate_steps([*rows, StepResidual(**{**as_fields(rows[0]), "id": "h", "family": "Blackwell"})])


def as_fields(found):
    return {name: getattr(found, name) for name in StepResidual.__dataclass_fields__}


def line(text, start):
    return next(found for found in text if found.startswith(start))


def test_errors_by_slice_by_hand():
    found = lines(whole())
    assert found[0] == "Step time, 8 measured steps"
    # errors 2, 2, 2 and 10 %: median 2 %, 90th percentile between the third and the last, 2 + 0.7 x 8
    dense = line(found, "dense, 16-bit, A100 and H100")
    assert "0.0 / 0 %" in dense
    assert "2.0 / 8 %" in dense
    assert "6 / 15 %, 12 / 35 %" in dense
    assert dense.endswith("holds")
    assert any("Calculon" in text for text in found)


def test_a_slice_that_misses_says_so():
    assert whole().passed
    missed = whole(worst=1.6)
    assert not missed.passed
    assert line(lines(missed), "dense, 16-bit, A100 and H100").endswith("DOES NOT HOLD")


def test_worst_rows_or_all():
    few = lines(whole())
    assert "Worst rows, predicted over measured" in few
    start = few.index("Worst rows, predicted over measured")
    assert few[start + 2].split()[:2] == ["d", "D"]
    assert "1.10" in few[start + 2]
    all_rows = lines(whole(), with_rows=True)
    assert "Rows, predicted over measured" in all_rows
    after = all_rows.index("Rows, predicted over measured")
    assert len(all_rows) - after == len(few) - start  # eight rows: fewer than the worst twelve


def test_sweeps_and_mixtures_left_open():
    found = lines(whole())
    assert any(text.startswith("Mixtures forecast without their dispatch and overlap: 1.0 / 2 %") for text in found)
    lora = line(found, "LoRA, layout given")
    assert "never fitted" in lora
    page = "\n".join(sweeps_markdown(whole()))
    assert "### MLPerf GPT-3 175B, layout searched" in page


def test_tables_of_the_page():
    slices = list(markdown(whole()))
    assert slices[0].startswith("| slice | n |")
    assert sum("| source |" in text for text in slices) == 1
    assert all(text.startswith("|") for text in slices if text)
    assert any("LLMCarbon" in text for text in peers_markdown(whole()))
    worst = list(worst_markdown(whole(), 2))
    assert len(worst) == 4
    assert worst[2].startswith("| d | D |")
