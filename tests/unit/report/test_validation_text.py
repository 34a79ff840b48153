"""A validation's text shows each gate, the simpler formulas beside it, and rows where asked."""

from __future__ import annotations

from tonne.report.validation_text import aligned, lines
from tonne.validation.result import Comparison, LeftOut, Validation, gate_of


def row(name: str, published: float, forecast: float) -> Comparison:
    return Comparison(
        id=name,
        quantity="energy_mwh",
        family="a100-sxm",
        published=published,
        forecast=forecast,
        low=0.8 * forecast,
        high=1.2 * forecast,
        peers={"ML CO2 Impact": 2 * published},
    )


def whole() -> Validation:
    rows = [row("one", 100.0, 110.0), row("two", 100.0, 90.0), row("three", 100.0, 150.0)]
    texts = ("metered energy", "median at most 12 %")
    return Validation(gates=(gate_of(2, texts, True, rows, [LeftOut(id="four", reason="no hours")]),))


def test_gate_shows_ours_and_the_simple_formulas():
    text = "\n".join(lines(whole()))
    assert "Gate 2  metered energy: holds" in text
    ours = next(line.split() for line in text.splitlines() if line.strip().startswith("forecast"))
    assert ours[:3] == ["forecast", "3", "10%"]  # errors 10, 10 and 50 %
    assert "67% [" in text  # two of three lie within 0.8 to 1.2 of the forecast
    theirs = next(line.split() for line in text.splitlines() if "ML CO2 Impact" in line)
    assert theirs[3:6] == ["3", "100%", "100%"]
    assert "left out: 1 row;" in text


def test_rows_are_listed_on_request():
    text = "\n".join(lines(whole(), with_rows=True))
    assert "120 - 180" in text  # of the row forecast as 150
    assert "NO" in text
    assert "no hours" in text


def test_cells_stand_in_columns():
    assert aligned([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]
