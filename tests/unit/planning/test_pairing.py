"""Which inputs two sides share."""

import math

import pytest

import tonne
from tonne.planning import compare
from tonne.planning.pairing import error_correlation, shared_error_part
from tonne.reference.step_residuals import StepResidual

BASE = {
    "architecture": {"preset": "gpt-3-6.7b"},
    "data": {"tokens": 1e9},
    "training": {"precision": "bf16"},
    "cluster": {"accelerator": "A100-80GB", "accelerators": 64},
    "site": {"grid": "FR", "pue": 1.2},
}


def plan(**changes):
    sections = {name: dict(fields) for name, fields in BASE.items()}
    for name, fields in changes.items():
        sections[name] = {**sections.get(name, {}), **fields}
    return tonne.TrainingPlan.from_fields(sections)


def step(model, log_error, source="a"):
    """A step of which the fit said exp(log_error) times what was measured."""
    return StepResidual(
        id="x", source=source, model=model, kind="dense", precision="16-bit", family="a100", accelerators=8,
        sequence_length=1024, measured_s=1.0, fitted_s=1.0, known_s=math.exp(log_error), open_s=1.0, unseen_s=1.0,
    )  # fmt: skip


def test_correlation_of_errors_by_hand():
    # one group 0.1, 0.1: pairs 0.01, squares 0.01; the other 0.1, -0.1: pairs -0.01, squares 0.01
    one, other = [step("m", 0.1), step("m", 0.1)], [step("n", 0.1), step("n", -0.1)]
    assert error_correlation(one) == pytest.approx(1.0)
    assert error_correlation([*one, *other]) == pytest.approx(0.0)
    # 0.2, 0.1, 0.3: pairs 2 x (0.02 + 0.06 + 0.03) / 6, squares 0.14 / 3: 11 / 14
    assert error_correlation([step("m", e) for e in (0.2, 0.1, 0.3)]) == pytest.approx(11 / 14)
    assert error_correlation([step("m", 0.1), step("n", 0.1)]) == 0.0


def test_errors_of_one_model_are_mostly_shared():
    # as docs/comparing.md and decision 79 say; a new table of steps moves them
    assert [round(shared_error_part(mixture), 2) for mixture in (False, True)] == [0.65, 0.58]


def test_steps_of_one_model_in_two_layouts_share_that_part():
    found = compare(plan(), plan(cluster={"accelerators": 128})).pairs[0]
    assert found.partly == ("achieved_peak_fraction",)
    assert found.apart == ()
    ratio = found.differences["throughput.tokens_per_s"].ratio
    own = plan()
    fraction = tonne.forecast(own).inputs["achieved_peak_fraction"]
    left = (1 - shared_error_part(False)) ** 0.5
    below, above = (left * math.log(bound) for bound in (fraction.value / fraction.low, fraction.high / fraction.value))
    assert math.log(ratio.high / ratio.value) == pytest.approx(math.hypot(above, below))


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({"cluster": {"power_cap_w": 300.0}}, {"cap_slow_down_error"}),
        ({"architecture": {"preset": "gpt-3-13b"}}, {"achieved_peak_fraction", "pace"}),
        ({"software": {"framework": "fsdp"}}, {"achieved_peak_fraction", "pace"}),
        ({"data": {"tokens": 2e9}}, set()),
    ],
)
def test_what_a_change_takes_apart(changes, apart):
    found = compare(plan(), plan(**changes)).pairs[0]
    assert set(found.apart) == apart
    assert {"accelerator_power_w", "host_power_w", "grid_gco2e_per_kwh", "lifetime_years"} <= set(found.shared)
