"""What a validation says: rows, their summary by gate, and the same of simpler formulas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tonne.estimate import binomial_interval
from tonne.validation.statistics import quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One published figure beside ours, and beside those of simpler formulas."""

    id: str
    quantity: str  # ends with its unit: energy_mwh, co2e_t, accelerator_hours
    family: str
    published: float
    forecast: float
    low: float
    high: float
    passed: bool | None = None  # None where only the gate as a whole passes or fails
    peers: Mapping[str, float] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """Forecast over published, less one."""
        return self.forecast / self.published - 1.0

    @property
    def covered(self) -> bool:
        """Whether the published figure lies in the 90 % interval."""
        return self.low <= self.published <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A row that the gate cannot or should not judge, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Errors of one formula over some rows: |forecast / published - 1|, and as a factor max(ratio, 1 / ratio)."""

    n: int
    median: float
    p90: float
    bias: float
    median_factor: float
    p90_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate: its rule, whether it holds, its summary and rows; coverage is of the 90 % interval."""

    number: int
    name: str
    rule: str
    passed: bool
    n: int
    median: float
    p90: float
    bias: float
    p90_factor: float
    coverage: float | None
    coverage_low: float | None
    coverage_high: float | None
    half_width: float | None  # median of half the interval over the value
    families: Mapping[str, int]
    rows: tuple[Comparison, ...]
    left_out: tuple[LeftOut, ...]
    peers: Mapping[str, Summary]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """All gates."""

    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dictionaries and lists, with each row's error and whether it is covered."""
        gates = []
        for gate in self.gates:
            fields = asdict(gate)
            fields["rows"] = [
                {**asdict(row), "error": row.error, "covered": row.covered if gate.coverage is not None else None}
                for row in gate.rows
            ]
            fields["left_out"] = [asdict(row) for row in gate.left_out]
            gates.append(fields)
        return {"passed": self.passed, "gates": gates}


def summary(pairs: Sequence[tuple[float, float]]) -> Summary:
    """Errors of (forecast, published) pairs."""
    errors = [forecast / published - 1.0 for forecast, published in pairs]
    sizes = [abs(error) for error in errors]
    factors = [max(forecast / published, published / forecast) for forecast, published in pairs]
    return Summary(
        n=len(pairs),
        median=quantile(sizes, 0.5),
        p90=quantile(sizes, 0.9),
        bias=quantile(errors, 0.5),
        median_factor=quantile(factors, 0.5),
        p90_factor=quantile(factors, 0.9),
    )


def peer_summaries(rows: Iterable[Comparison]) -> dict[str, Summary]:
    """Errors of the simpler formulas, each over the rows that it can speak to."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.peers.items():
            pairs.setdefault(name, []).append((value, row.published))
    return {name: summary(found) for name, found in pairs.items()}


def gate_of(
    number: int, texts: tuple[str, str], passed: bool, rows: Sequence[Comparison], left_out: Sequence[LeftOut]
) -> Gate:
    """A gate with everything that follows from its rows.

    Args:
        number: Of the gate.
        texts: Its name and its rule.
        passed: Whether the rule holds.
        rows: Figures compared.
        left_out: Rows that were not.
    """
    ours = summary([(row.forecast, row.published) for row in rows])
    uncertain = any(row.high > row.low for row in rows)
    covered = sum(row.covered for row in rows)
    low, high = binomial_interval(covered, len(rows))
    families: dict[str, int] = {}
    for row in rows:
        families[row.family] = families.get(row.family, 0) + 1
    return Gate(
        number=number,
        name=texts[0],
        rule=texts[1],
        passed=passed,
        n=ours.n,
        median=ours.median,
        p90=ours.p90,
        bias=ours.bias,
        p90_factor=ours.p90_factor,
        coverage=covered / len(rows) if uncertain else None,
        coverage_low=low if uncertain else None,
        coverage_high=high if uncertain else None,
        half_width=quantile([(r.high - r.low) / 2 / r.forecast for r in rows], 0.5) if uncertain else None,
        families=families,
        rows=tuple(rows),
        left_out=tuple(left_out),
        peers=peer_summaries(rows),
    )
