"""Forecasts of inference beside published measurements, each row's own source left out of the fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tonne.errors import TonneError
from tonne.estimate import Basis, Estimate, Number, propagate
from tonne.forecasting.served_runs import (
    IDLE_SHARE,
    ServedRun,
    forecast_s,
    measured_w,
    served_run,
)
from tonne.forecasting.serving import serving_joule, times_of
from tonne.reference.inference_coefficients import inference_coefficients
from tonne.reference.inference_runs import inference_runs
from tonne.reference.power import power_family
from tonne.validation.inference_peers import peer_energies_j, peer_times_s
from tonne.validation.result import Comparison, Gate, LeftOut, gate_of

TIME, ENERGY = "time_s", "energy_j_per_output_token"
MEDIAN_ALLOWED, NOMINAL = 0.35, 0.90
PHASES = {
    "decode": "decode steps alone",
    "prefill": "prompts alone",
    "request": "one batch from prompt to answer",
    "mixed": "servers under load, request by request",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceValidation:
    """Gates for time by phase and for energy, and the same rows by source; rows that could not be judged, and why."""

    gates: tuple[Gate, ...]
    sources: tuple[Gate, ...]
    left_out: tuple[LeftOut, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain dictionaries and lists."""
        from tonne.validation.result import Validation  # noqa: PLC0415 - its dictionary is the same

        return {
            **Validation(gates=self.gates).to_dict(),
            "sources": Validation(gates=self.sources).to_dict()["gates"],
            "left_out": [{"id": row.id, "reason": row.reason} for row in self.left_out],
        }


def validate_inference() -> InferenceValidation:
    """Forecasts of the rows with gate ``use``, each from coefficients fitted without its source."""
    served: list[ServedRun] = []
    left_out: list[LeftOut] = []
    for run in inference_runs():
        if run.gate != "use":
            left_out.append(LeftOut(id=run.id, reason=run.note or f"gate {run.gate}"))
            continue
        try:
            served.append(served_run(run))
        except TonneError as error:
            left_out.append(LeftOut(id=run.id, reason=str(error)))
    times = [(row, _time(row)) for row in served if row.measured_s is not None]
    energies = [(row, _energy(row)) for row in served if measured_w(row) is not None]
    gates = [
        _gate(number, f"time, {text}", [found for row, found in times if row.phase == phase])
        for number, (phase, text) in enumerate(PHASES.items(), start=1)
    ]
    gates.append(_gate(len(gates) + 1, "energy of accelerators, an output token", [found for _, found in energies]))
    return InferenceValidation(
        gates=tuple(gates), sources=tuple(_by_source(times, "time") + _by_source(energies, "energy")),
        left_out=tuple(left_out),
    )  # fmt: skip


def _gate(number: int, name: str, rows: Sequence[Comparison]) -> Gate:
    rule = f"median |error| at most {MEDIAN_ALLOWED:.0%}, and the interval of the coverage reaches {NOMINAL:.0%}"
    gate = gate_of(number, (name, rule), True, rows, ())
    covered = (gate.coverage_high or 0.0) >= NOMINAL  # wider than need be shows in the half-width
    return gate_of(number, (name, rule), covered and gate.median <= MEDIAN_ALLOWED, rows, ())


def _by_source(rows: Iterable[tuple[ServedRun, Comparison]], what: str) -> list[Gate]:
    by_source: dict[str, list[Comparison]] = {}
    for row, found in rows:
        by_source.setdefault(f"{row.run.source}, {what}", []).append(found)
    return [_gate(number, name, found) for number, (name, found) in enumerate(sorted(by_source.items()), start=1)]


def _time(row: ServedRun) -> Comparison:
    assert row.measured_s is not None
    forecast = _propagated(lambda x: forecast_s(row, x), inference_coefficients(row.run.source))
    return _compared(row, TIME, row.measured_s, forecast, peer_times_s(row))


def _energy(row: ServedRun) -> Comparison:
    """Energy of the accelerators for one output token, against the meter's."""
    assert row.run.energy_j_per_output_token is not None
    record, answered = row.serving.record, row.serving.output_tokens
    power_w = _training_power_w(row)
    idle_w = IDLE_SHARE * power_w.value if record.idle_w is None else record.idle_w

    def joule(x: Mapping[str, Number]) -> Number:
        every = {**row.work, **x}
        one = serving_joule(every, times_of(every), idle_w, x["accelerator_power_w"])
        return row.serving.accelerators * one / answered

    inputs = {**inference_coefficients(row.run.source), "accelerator_power_w": power_w}
    forecast = _propagated(joule, inputs)
    return _compared(row, ENERGY, row.run.energy_j_per_output_token, forecast, peer_energies_j(row))


def _training_power_w(row: ServedRun) -> Estimate:
    family = power_family(row.serving.record.id)
    limit_w = row.serving.record.board_power_limit_w or 0.0
    value, low, high = (
        (share or 0.0) * limit_w for share in (family.fraction_value, family.fraction_low, family.fraction_high)
    )
    return Estimate(value=value, low=low, high=high, basis=Basis(family.basis), sources=(family.source,))


def _propagated(function: Callable[[Mapping[str, Number]], Number], inputs: Mapping[str, Estimate]) -> Estimate:
    found = propagate(lambda x: {"of": function(x)}, inputs).outputs["of"]
    assert found is not None
    return found


def _compared(
    row: ServedRun, quantity: str, published: float, forecast: Estimate, peers: Mapping[str, float]
) -> Comparison:
    return Comparison(
        id=row.run.id,
        quantity=quantity,
        family=row.run.source,
        published=published,
        forecast=float(forecast.value),
        low=float(forecast.low),
        high=float(forecast.high),
        peers=peers,
    )
