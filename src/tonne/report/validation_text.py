"""A validation as lines of text: each gate, the simpler formulas beside it, and the rows where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from tonne.report.numbers import rounded
from tonne.validation.result import Comparison, Gate, Summary, Validation

WIDTH, INDENT = 118, "  "
HEADS = ("", "n", "median", "90th pct", "factor", "bias", "in 90 % interval", "half-width")
ROW_HEADS = ("", "quantity", "published", "forecast", "5 - 95 %", "error", "in interval")


def lines(validation: Validation, *, with_rows: bool = False) -> list[str]:
    """All gates; each published run too, and what was left out, where asked for."""
    text: list[str] = []
    for gate in validation.gates:
        text += [*gate_lines(gate, with_rows=with_rows), ""]
    text.append("median and 90th pct are of |forecast / published - 1|; factor is the 90th percentile of the ratio.")
    return text


def gate_lines(gate: Gate, *, with_rows: bool) -> list[str]:
    """One gate; its rows too, where asked for."""
    return [*_gate(gate), *(_rows(gate) if with_rows else _left_out_number(gate))]


def _gate(gate: Gate) -> Iterator[str]:
    yield f"Gate {gate.number}  {gate.name}: {'holds' if gate.passed else 'DOES NOT HOLD'}"
    yield from (INDENT + line for line in wrap(gate.rule, WIDTH))
    ours = (
        "forecast",
        str(gate.n),
        rounded_percent(gate.median),
        rounded_percent(gate.p90),
        f"x{gate.p90_factor:.2f}",
        rounded_percent(gate.bias, sign=True),
        _coverage(gate),
        "" if gate.half_width is None else rounded_percent(gate.half_width),
    )
    peers = [_peer(name, summary) for name, summary in gate.peers.items()]
    yield from (INDENT + line for line in aligned([HEADS, ours, *peers]))
    families = ", ".join(f"{name} {number}" for name, number in gate.families.items())
    yield from (INDENT + line for line in wrap(f"rows by family: {families}", WIDTH))


def _peer(name: str, summary: Summary) -> tuple[str, ...]:
    figures = (rounded_percent(summary.median), rounded_percent(summary.p90), f"x{summary.p90_factor:.2f}")
    return (name, str(summary.n), *figures, rounded_percent(summary.bias, sign=True), "", "")


def _coverage(gate: Gate) -> str:
    """Share of published figures in the interval, with the exact binomial interval of that share."""
    if gate.coverage is None or gate.coverage_low is None or gate.coverage_high is None:
        return ""
    return f"{gate.coverage:.0%} [{gate.coverage_low:.0%}, {gate.coverage_high:.0%}]"


def _left_out_number(gate: Gate) -> Iterator[str]:
    if gate.left_out:
        number = len(gate.left_out)
        yield f"{INDENT}left out: {number} {'row' if number == 1 else 'rows'}; --rows gives the reasons"


def _rows(gate: Gate) -> Iterator[str]:
    interval = gate.coverage is not None
    heads = ROW_HEADS if interval else (*ROW_HEADS[:4], "error")
    yield from (INDENT * 2 + line for line in aligned([heads, *(_row(row, interval) for row in gate.rows)]))
    if gate.left_out:
        yield f"{INDENT}left out"
        yield from (INDENT * 2 + line for line in aligned([(row.id, row.reason) for row in gate.left_out]))


def _row(row: Comparison, interval: bool) -> tuple[str, ...]:
    start = (row.id, row.quantity, rounded(row.published), rounded(row.forecast))
    if not interval:
        return (*start, rounded_percent(row.error, sign=True))
    inside = f"{rounded(row.low)} - {rounded(row.high)}"
    return (*start, inside, rounded_percent(row.error, sign=True), "yes" if row.covered else "NO")


def rounded_percent(share: float, *, sign: bool = False) -> str:
    """A share in percent, with a digit more below ten."""
    digits = 1 if abs(share) < 0.1 else 0
    return f"{share:+.{digits}%}" if sign else f"{share:.{digits}%}"


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Cells in columns as wide as their widest cell; the last is left as it is."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return ["  ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)).rstrip() for cells in table]
