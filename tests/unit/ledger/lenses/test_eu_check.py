"""Training compute by the Commission's guidelines: the worked examples, both approaches, thresholds."""

from __future__ import annotations

import pytest

from tonne.account import Throughput
from tonne.errors import DescriptionError
from tonne.ledger.lenses.check import Standing, check_eu, exceeded
from tonne.ledger.lenses.compute import by_architecture, by_hardware, hardware_flop, six_p_d
from tonne.ledger.records import Work
from tonne.report.eu_check_text import check_lines

# Guidelines, annex A.3, paragraphs 137 to 144: parameters, tokens, FLOP as printed (one or two digits).
BY_ARCHITECTURE = {
    "A": (3.8e9, 3.3e12, 7.5e22),
    "C": (0.6e9, 36e12, 1.3e23),
    "D": (1.54e9, 18e12, 1.66e23),
    "E": (1.7e9, 36e12, 3.7e23),
    "F": (2.5e9, 12e12, 1.8e23),
    "G": (2.6e9, 10e12, 1.5e23),  # "about 10T" tokens: 1.56e23
}
# GPU-hours, the accelerator, the peak that is printed, U, FLOP as printed.
BY_HARDWARE = {
    "B": (200_000, "A100 SXM4 40GB", 300e12, 0.5, 1e23),  # 1.08e23
    "H": (370_000, "H100 SXM5 80GB", 989e12, 0.5, 6.5e23),  # 6.59e23
}


@pytest.mark.parametrize(("parameters", "tokens", "printed"), BY_ARCHITECTURE.values(), ids=BY_ARCHITECTURE)
def test_examples_of_the_architecture_based_approach(run, parameters, tokens, printed):
    found = check_eu([run(work=Work(parameters=int(parameters), tokens=int(tokens)), account=None)]).flop.value
    assert found == six_p_d(parameters, tokens)
    assert found == pytest.approx(printed, rel=0.05)


@pytest.mark.parametrize("example", BY_HARDWARE.values(), ids=BY_HARDWARE)
def test_examples_of_the_hardware_based_approach(run, account, example):
    hours, chip, peak, share, printed = example
    assert hardware_flop(hours, peak, share) == pytest.approx(printed, rel=0.09)
    one = run(hardware={chip: 64}, account=account(accelerator_hours=hours), work=Work())
    # the tables print 312 TFLOP/s for the A100, of which the guidelines take 300
    assert by_hardware(one, share).flop.value == pytest.approx(printed, rel=0.13)


def test_examples_stand_where_the_guidelines_put_them(run):
    below, above = (
        check_eu([run(work=Work(parameters=int(p), tokens=int(t)))]).bands[0]
        for p, t in ((3.8e9, 3.3e12), (1.7e9, 36e12))
    )
    assert below.standing == Standing.BELOW  # 7.5e22 + 30 % is 9.8e22
    assert above.standing == Standing.REACHED  # 3.7e23 - 30 % is 2.6e23


def test_occupancy_read_as_utilisation_puts_a_run_on_the_other_side_of_a_threshold(run, account):
    # 6,000 H100 for 30 days: 6000 x 30 x 86400 x 989.4e12 = 1.539e25 FLOP at U = 1
    one = run(account=account(accelerator_hours=6000 * 30 * 24), work=Work(), hardware={"H100 SXM5 80GB": 6000})
    busy, mfu = by_hardware(one, 0.95), by_hardware(one, 0.40)
    assert busy.flop.value == pytest.approx(1.462e25, rel=1e-3)
    assert mfu.flop.value == pytest.approx(6.155e24, rel=1e-3)
    assert mfu.flop.value < 1e25 < busy.flop.value
    assert "looks like occupancy" in busy.notes[0]
    assert mfu.notes == ()


def test_a_utilisation_that_is_none_is_an_error(run):
    with pytest.raises(DescriptionError, match=r"utilisation=40 is no share"):
        by_hardware(run(), 40)


def test_both_approaches_are_compared_where_utilisation_was_measured(run, account, estimate):
    # 48 h x 3600 x 989.4e12 x 0.4 x 0.9 = 6.155e19 FLOP; counted 6e19: 2.6 % apart
    speed = Throughput(achieved_peak_fraction=estimate(0.4), goodput=estimate(0.9))
    one = run(account=account(throughput=speed), work=Work(training_flop=6e19))
    found = check_eu([one]).computes[0]
    assert found.hardware.flop.value == pytest.approx(6.155e19, rel=1e-3)
    assert found.ratio == pytest.approx(1.0258, rel=1e-3)
    assert found.agree is True
    assert found.hardware.independent
    assert check_eu([run(account=account(throughput=speed), work=Work(training_flop=4e19))]).computes[0].agree is False


def test_utilisation_of_eight_bit_training_is_put_on_the_sixteen_bit_peak(run, account, estimate):
    # a fraction of 0.25 of 1978.9 TFLOP/s is one of 0.5 of 989.4
    speed = Throughput(achieved_peak_fraction=estimate(0.25))
    one = run(account=account(throughput=speed), forecast_inputs={"peak_flop_per_s": estimate(1978.9e12)})
    assert by_hardware(one).flop.value == pytest.approx(48 * 3600 * 1978.9e12 * 0.25, rel=1e-4)


def test_hours_of_a_chip_that_no_table_knows_are_not_taken_for_those_of_another(run):
    found = by_hardware(run(hardware={"NVIDIA H100 80GB HBM3": 8, "Acme NP-9000": 8}), 0.5)
    assert (found.flop, found.how) == (None, "no 16-bit peak of its hardware is in the tables")


def test_mixed_hardware_takes_the_weighted_mean_of_the_peaks(run):
    # (8 x 989.4 + 24 x 312) / 32 = 481.35 TFLOP/s
    one = run(hardware={"H100 SXM5 80GB": 8, "A100 SXM4 40GB": 24})
    assert by_hardware(one, 0.5).flop.value == pytest.approx(48 * 3600 * 481.35e12 * 0.5, rel=1e-4)


def test_utilisation_from_measured_tokens_shares_its_count_and_says_so(run, account, estimate):
    # 6e6 FLOP a token x 1e6 tokens/s / (8 x 989.4e12) = 7.58e-4 of the peak
    work = Work(parameters=1_000_000, tokens=10**9, training_flop=6e15)
    one = run(account=account(throughput=Throughput(tokens_per_s=estimate(1e6))), work=work)
    found = by_hardware(one)
    assert found.flop.value == pytest.approx(48 * 3600 * 6e12 / 8, rel=1e-6)
    assert not found.independent


def test_without_utilisation_the_hardware_says_nothing_and_asks_for_it(run):
    found = check_eu([run()])
    assert found.computes[0].hardware.flop is None
    assert "--utilisation 0.4" in found.computes[0].hardware.how
    assert found.computes[0].agree is None


def test_active_parameters_count_for_a_mixture_of_experts(run):
    work = Work(parameters=100, active_parameters=10, tokens=1000)
    assert by_architecture(run(work=work)).flop.value == 6 * 10 * 1000


def test_thirty_percent_reach_across_a_threshold(run):
    # 8.1e22 x 1.3 = 1.053e23
    found = check_eu([run(work=Work(training_flop=8.1e22))])
    general, systemic = found.bands
    assert (general.low_flop, general.high_flop) == pytest.approx((5.67e22, 1.053e23))
    assert general.standing == Standing.STRADDLED
    assert systemic.standing == Standing.BELOW
    assert [band.key for band in exceeded(found)] == ["general-purpose"]
    assert exceeded(found, ["systemic-risk"]) == ()


def test_a_wider_interval_of_our_own_takes_the_place_of_the_margin(run, account, estimate):
    speed = Throughput(achieved_peak_fraction=estimate(0.4, 0.2, 0.8))
    one = run(account=account(throughput=speed, accelerator_hours=1e5), work=Work())
    band = check_eu([one]).bands[0]
    assert band.low_flop == pytest.approx(band.flop.value / 2)
    assert band.high_flop == pytest.approx(band.flop.value * 2)


@pytest.mark.parametrize(
    ("own", "standing"),
    [(2.4e21, Standing.BELOW), (3e21, Standing.STRADDLED), (5e21, Standing.REACHED)],
)
def test_a_modification_stands_beside_a_third_of_the_original(run, own, standing):
    # the original took 1e22: a third is 3.33e21; 2.4e21 x 1.3 = 3.1e21, 3e21 x 1.3 = 3.9e21, 5e21 x 0.7 = 3.5e21
    plan = {"start": {"from": "gpt-2-small", "training_flop": {"value": 1e22}}}
    found = check_eu([run(purpose="fine-tuning", plan=plan, work=Work(training_flop=own))])
    band = next(band for band in found.bands if band.key == "modification")
    assert band.limit_flop.value == pytest.approx(1e22 / 3)
    assert band.flop.value == own  # of the modification alone
    assert band.standing == standing
    assert [one.key for one in exceeded(found)] == (["modification"] if standing != Standing.BELOW else [])
    assert found.flop.value == pytest.approx(own + 1e22)  # the model's own history is cumulative


@pytest.mark.parametrize(("risk", "limit"), [(False, 1e23 / 3), (True, 1e25 / 3)])
def test_an_original_of_unknown_compute_is_taken_at_the_threshold(run, risk, limit, tmp_path):
    plan = {"start": {"from": str(tmp_path), "systemic_risk": risk}}
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    links = [("initialised-from", str(tmp_path))]
    found = check_eu([run(purpose="fine-tuning", plan=plan, links=links, work=Work(training_flop=1e22))])
    band = next(band for band in found.bands if band.key == "modification")
    assert band.limit_flop.value == pytest.approx(limit)
    assert found.at_least


def test_a_small_change_to_a_large_model_fails_no_gate_unless_the_whole_model_is_asked_about(run):
    plan = {"start": {"from": "gpt-2-small", "training_flop": {"value": 8e23}}}
    found = check_eu([run(purpose="fine-tuning", plan=plan, work=Work(training_flop=1e19))])
    assert exceeded(found) == ()
    assert [band.key for band in exceeded(found, ["general-purpose"])] == ["general-purpose"]


def test_steps_of_a_forecast_are_slower_than_its_utilisation_by_its_pace(run, account, estimate):
    # 48 h x 3600 x 989.4e12 x 0.4 x 0.8
    speed = Throughput(achieved_peak_fraction=estimate(0.4))
    fields = {"kind": "forecast", "status": "forecast", "forecast_inputs": {"pace": estimate(0.8)}}
    found = by_hardware(run(account=account(throughput=speed), **fields))
    assert found.flop.value == pytest.approx(48 * 3600 * 989.4e12 * 0.32, rel=1e-4)
    assert not found.independent


def test_a_run_on_processors_says_so_and_a_wrong_utilisation_is_told_there_too(run, account):
    plain = run(account=account(accelerator_hours=0.0))
    assert by_hardware(plain).how == "it had no accelerators"
    assert by_hardware(run(account=account(accelerator_hours=None))).how == "its accelerator-hours are unknown"
    with pytest.raises(DescriptionError, match=r"utilisation=1.4 is no share"):
        check_eu([plain], 1.4)


def test_a_project_that_nobody_tagged_is_told_to_be_tagged(run):
    text = "\n".join(check_lines(check_eu([run("a", purpose=None), run("b", purpose=None)]), "d"))
    assert "Cumulative compute is unknown: no run is counted. Tag what the runs were for." in text
    assert "see above" not in text


def test_a_run_that_starts_from_our_own_is_no_modification_of_anothers(run):
    asked = run("b", work=Work(training_flop=2e22), links=(("initialised-from", "a"),))
    found = check_eu([asked], before=[run("a", work=Work(training_flop=7e22))])
    assert found.flop.value == pytest.approx(9e22)
    assert [band.key for band in found.bands] == ["general-purpose", "systemic-risk"]
    assert found.bands[0].standing == Standing.STRADDLED  # 9e22 x 1.3 = 1.17e23
    assert [one.run for one in found.computes] == ["b", "a"]
