"""Forecasts of inference against published measurements."""

from __future__ import annotations

from functools import cache

import pytest

import tonne
from tonne.forecasting.served_runs import served_run
from tonne.reference.inference_runs import inference_runs
from tonne.validation import validate_inference
from tonne.validation.inference_peers import ECOLOGITS_MANY, ECOLOGITS_ONE, bandwidth_s, ecologits_j_per_token, two_n_s


@cache
def found():
    return validate_inference()


def row(start):
    return served_run(next(run for run in inference_runs() if run.id == start))


def test_gates_hold():
    assert not [(gate.name, gate.median, gate.coverage) for gate in found().gates if not gate.passed]


def test_time_is_forecast_within_a_third_for_half_of_all_rows():
    errors = sorted(abs(row.error) for gate in found().gates[:4] for row in gate.rows)
    assert len(errors) > 400
    assert errors[len(errors) // 2] < 0.20


def test_simpler_formulas_do_worse():
    for gate in found().gates:
        for name, peer in gate.peers.items():
            assert gate.median < peer.median, (gate.name, name)


def test_every_row_is_judged_or_has_a_reason():
    judged = {row.id for gate in found().gates for row in gate.rows}
    left_out = {row.id: row.reason for row in found().left_out}
    assert judged | set(left_out) == {run.id for run in inference_runs()}
    assert all(left_out.values())


def test_sources_hold_the_same_rows_as_the_gates():
    assert sum(gate.n for gate in found().sources) == sum(gate.n for gate in found().gates)


def test_gpt_fast_row_by_the_simpler_formulas():
    # I0001: Llama-2-7B in bf16 on one A100 80GB, one sequence: 6.74e9 parameters
    served = row("I0001")
    assert two_n_s(served) == pytest.approx(2 * 6.738e9 / (312e12 * 0.4), rel=1e-3)
    read = 2 * (6.738e9 - 32000 * 4096) + 524288 * 6.5  # all but the input table, and a short cache
    assert bandwidth_s(served) == pytest.approx(read / 2039e9, rel=2e-3)


def test_ecologits_of_llama_2_7b():
    # ceil(1.2 x 6.74 x 2 / 80) = 1 card of 8.91e-5 x 6.74 + 1.43e-3 Wh
    first, later = (ecologits_j_per_token(row("I0001"), version) for version in (ECOLOGITS_ONE, ECOLOGITS_MANY))
    assert first == pytest.approx(3600 * (8.91e-5 * 6.738 + 1.43e-3), rel=1e-3)
    # e^(-0.011206 x 64) = 0.4881
    assert later == pytest.approx(3600 * (1.1665e-6 * 0.4881 * 6.738 + 4.0529e-5), rel=1e-3)


def test_dictionary_has_rows_and_sources():
    document = found().to_dict()
    assert {"gates", "sources", "left_out", "passed"} <= set(document)
    assert document["gates"][0]["rows"][0]["covered"] in {True, False}


def test_code_of_2023_took_four_to_five_times_the_energy():
    """Samsi et al. 2023, arXiv:2310.03003: about 3 to 4 J an output token of LLaMA 65B, as the page of limits says."""
    asked = {"accelerators": 8, "batch_sequences": 64, "prompt_tokens": 100, "output_tokens": 512, "busy_fraction": 1}
    fields = {"architecture": {"preset": "llama-65b"}, "cluster": {"accelerator": "A100-SXM4-80GB"}, "inference": asked}
    energy = tonne.forecast_inference(tonne.TrainingPlan.from_fields(fields)).per_request.accelerators_kwh
    middle, high = (kwh * 3.6e6 / 512 for kwh in (energy.value, energy.high))
    assert high < 3
    assert 3.5 / middle == pytest.approx(4.5, abs=0.5)
