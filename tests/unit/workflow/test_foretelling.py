"""The forecast of a run on this machine: time, energy by part and CO2e, by hand."""

from __future__ import annotations

import dataclasses

import pytest

from tonne.describe.site import Site
from tonne.estimate import Estimate
from tonne.measure.facts import NodeFacts
from tonne.measure.models.load import CpuTimes
from tonne.train.ahead import Timed
from tonne.workflow.foretelling import for_work, foretold, outcome, stage_times_s
from tonne.workflow.machine import Looked, busy_share, power_w, watts_of
from tonne.workflow.paces import Pace

TIMES = {
    "crowd_factor": 1.0,
    "step_time_s": 0.5,
    "start_s": 2.0,
    "evaluation_s": 3.0,
    "checkpoints_s": 0.25,
    "finishing_s": 1.0,
}
WATTS = {"accelerators_w": 0.0, "cpu_w": 50.0, "memory_w": 5.0, "host_rest_w": 20.0}
FACTS = NodeFacts(cpu="AMD EPYC 7543", sockets=1, threads=64, memory_bytes=64 * 2**30)


def looked(share=0.5):
    return Looked(facts=FACTS, share=share)


def test_stages_by_hand(ahead):
    # 100 steps of 0.5 s and a start of 2 s; 2 evaluations of 3 s; 4 checkpoints of 0.25 s; the finish.
    found = stage_times_s(TIMES, ahead())
    assert found == {"stepping": 52.0, "evaluation": 6.0, "checkpoints": 1.0, "sampling": 0.0, "finishing": 1.0}


def test_others_on_the_machine_slow_all_but_the_disk(ahead):
    found = stage_times_s({**TIMES, "crowd_factor": 1.5}, ahead())
    assert found == {"stepping": 78.0, "evaluation": 9.0, "checkpoints": 1.0, "sampling": 0.0, "finishing": 1.0}


def test_energy_and_co2e_by_hand(ahead):
    x = {**TIMES, **WATTS, "pue": 1.2, "grid_gco2e_per_kwh": 100.0}
    found = outcome(x, ahead())
    assert found["duration_s"] == pytest.approx(60.0)
    assert found["energy.cpu_kwh"] == pytest.approx(50 * 60 / 3.6e6)
    assert found["energy.servers_kwh"] == pytest.approx(75 * 60 / 3.6e6)
    assert found["energy.facility_kwh"] == pytest.approx(1.2 * 75 * 60 / 3.6e6)
    assert found["carbon.operational_location_kgco2e"] == pytest.approx(0.1 * 1.2 * 75 * 60 / 3.6e6)
    # 100 steps x 1,000 tokens x 6 MFLOP at 60 GFLOP/s: 10 s of the 52.
    assert found["throughput.achieved_peak_fraction"] == pytest.approx(10 / 52)
    assert found["throughput.goodput"] == pytest.approx(52 / 60)


def test_two_nodes_draw_twice_and_hold_all_their_chips(ahead):
    run = ahead(processes=4, processes_here=2, chips=("H100", "H100"))
    found = outcome({**TIMES, **WATTS, "accelerators_w": 1200.0}, run)
    assert found["energy.accelerators_kwh"] == pytest.approx(2 * 1200 * 60 / 3.6e6)
    assert found["accelerator_hours"] == pytest.approx(4 * 60 / 3600)


def test_a_part_that_nobody_knows_makes_the_total_unknown_and_no_place_the_co2e(ahead):
    found = outcome({name: x for name, x in {**TIMES, **WATTS}.items() if name != "memory_w"}, ahead())
    assert found["energy.servers_kwh"] is None
    assert found["energy.cpu_kwh"] is not None
    account = foretold(ahead(), Timed(step_s=0.5), looked(), paces=[], site=None).account
    assert account.carbon.operational_location_kgco2e is None
    assert any("CO2e is unknown" in note for note in account.notes)


def test_the_account_is_of_the_type_and_the_parts_of_a_measured_one(ahead):
    timed = Timed(step_s=0.5, evaluation_s=3.0, checkpoint_s=0.25, finish_s=1.0)
    found = foretold(ahead(), timed, looked(), paces=[], site=Site(grid="FR", pue=1.1, usd_per_kwh=0.2))
    account = found.account
    assert account.duration_s.value == pytest.approx(100 * 0.5 + 0.25 + 2 * 3.0 + 4 * 0.25 + 1.0)
    assert account.duration_s.low < account.duration_s.value < account.duration_s.high
    energy = account.energy
    parts = [energy.accelerators_kwh, energy.cpu_kwh, energy.memory_kwh, energy.host_rest_kwh]
    assert sum(part.value for part in parts) == pytest.approx(energy.servers_kwh.value)
    assert energy.facility_kwh.value == pytest.approx(1.1 * energy.servers_kwh.value)
    assert account.energy_cost_usd.value == pytest.approx(0.2 * energy.facility_kwh.value)
    assert found.inputs["tokens"].value == 100_000
    assert found.inputs["training_flop"].value == pytest.approx(6e11)
    assert account.uncertainty["duration_s"]["step_time_s"] > 0.5


def test_a_run_cut_short_is_compared_with_the_forecast_of_its_own_steps(ahead):
    timed = Timed(step_s=0.5, evaluation_s=3.0, checkpoint_s=0.25, finish_s=1.0)
    found = foretold(ahead(), timed, looked(), paces=[], site=None)
    counts = {"evaluation": 1, "checkpoints": 2, "finishing": 1}
    account, inputs = for_work(found.inputs, ahead(), 10, counts)
    assert (inputs["steps"].value, inputs["tokens"].value) == (10, 10_000)
    assert account.duration_s.value == pytest.approx(10 * 0.5 + 0.25 + 3.0 + 2 * 0.25 + 1.0)


def test_power_is_modelled_by_how_busy_the_processors_are(ahead):
    half, _ = power_w(ahead(), looked(0.5), [])
    full, notes = power_w(ahead(), looked(1.0), [])
    assert full["cpu"].value > half["cpu"].value
    assert full["memory"].value == pytest.approx(half["memory"].value)
    assert full["accelerators"].value == 0.0
    assert any("100% busy" in note for note in notes)
    unseen, _ = power_w(ahead(threads=32), looked(None), [])  # 32 of 64 threads
    assert unseen["cpu"].value == pytest.approx(half["cpu"].value)


def test_parts_that_sensors_read_before_are_forecast_as_they_were_read(ahead):
    rows = [
        Pace(machine="here", shape="small", steps=9, watts={"cpu": (w, 0.98 * w, 1.02 * w)}, measured_parts=("cpu",))
        for w in (90.0, 110.0)
    ]
    found, _ = power_w(ahead(), looked(), rows)
    cpu = found["cpu"]
    assert (cpu.value, cpu.basis) == (pytest.approx(100.0), "measured")
    assert (cpu.low, cpu.high) == (pytest.approx(90.0), pytest.approx(110.0))  # a tenth to either side


def test_mean_power_of_an_energy_by_hand():
    from tonne.energy.use import EnergyUse

    use = EnergyUse(cpu_kwh=Estimate.exact(0.01))
    assert watts_of(use, 360.0)["cpu"].value == pytest.approx(100.0)  # 0.01 kWh in a tenth of an hour
    assert set(watts_of(use, 360.0)) == {"cpu"}


def test_busy_share_needs_a_fifth_of_a_second():
    assert busy_share(CpuTimes(10.0, 10.0), CpuTimes(13.0, 11.0)) == pytest.approx(0.75)
    assert busy_share(CpuTimes(10.0, 10.0), CpuTimes(10.1, 10.0)) is None
    assert busy_share(None, CpuTimes(1.0, 1.0)) is None


def test_every_field_of_what_lies_ahead_is_told_but_for_the_trial(ahead):
    names = {field.name for field in dataclasses.fields(ahead())}
    assert set(ahead().facts()) == names - {"trial"}
