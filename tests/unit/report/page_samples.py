"""Runs as the ledger keeps them, made by hand: one on accelerators, a small one on a processor, a project."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

from tonne.account import Account, Carbon, Throughput
from tonne.describe.plan import TrainingPlan
from tonne.documents import plain
from tonne.energy.use import EnergyUse
from tonne.estimate import Basis, Estimate
from tonne.forecasting import Forecast, forecast
from tonne.ledger.records import FORETOLD_BY, MEASURED, Evidence, Link, Run, Series, Stage, Work

DAY = 86_400.0
BEGUN = 1_793_707_200.0  # 2026-11-03 12:00 UTC


def est(value, low=None, high=None, basis=Basis.MEASURED, *sources):
    return Estimate(
        value=value, low=value if low is None else low, high=value if high is None else high, basis=basis,
        sources=sources or ("sensor",),
    )  # fmt: skip


PLAN = {
    "name": "llama-7b",
    "architecture": {"preset": "llama-7b"},
    "data": {"tokens": 54e9, "sequence_length": 2048},
    "training": {"global_batch_sequences": 1024, "micro_batch_sequences": 4, "precision": "bf16"},
    "parallelism": {"tensor": 1, "pipeline": 1, "data": 64, "sharding": "zero-3"},
    "software": {"framework": "fsdp", "released": "2024-06", "flash_attention": True},
    "cluster": {"accelerator": "H100-SXM5-80GB", "accelerators": 64},
    "site": {"grid": "DE", "pue": {"value": 1.2, "low": 1.15, "high": 1.3}, "usd_per_accelerator_hour": 2.2,
             "wue_l_per_kwh": 0.3, "grid_wue_l_per_kwh": 1.5},
}  # fmt: skip


@cache
def planned() -> Forecast:
    return forecast(TrainingPlan.from_fields(PLAN))


def gpu_account() -> Account:
    """24 hours of 64 boards: 1,000 kWh of boards, 300 of hosts; PUE 1.2, 350 g/kWh, worked out by hand."""
    model = Basis.MODELLED
    return Account(
        duration_s=est(86_400.0),
        accelerator_hours=est(1536.0),
        throughput=Throughput(step_time_s=est(3.12), tokens_per_s=est(672_164.0), goodput=est(0.93)),
        energy=EnergyUse(
            accelerators_kwh=est(1000.0, 980.0, 1020.0, Basis.MEASURED, "nvml:0 to nvml:63, energy counters"),
            cpu_kwh=est(120.0, 115.0, 125.0, Basis.MEASURED, "rapl packages"),
            memory_kwh=est(40.0, 28.0, 60.0, model, "model of DRAM"),
            host_rest_kwh=est(140.0, 100.0, 200.0, model, "model of the rest of a server"),
            hosts_kwh=est(300.0, 255.0, 365.0, model),
            servers_kwh=est(1300.0, 1250.0, 1370.0, model),
            it_kwh=est(1300.0, 1250.0, 1370.0, model),
            facility_kwh=est(1560.0, 1460.0, 1720.0, model),
            measured_kwh=est(1120.0, 1098.0, 1142.0),
            coverage=1120.0 / 1300.0,
            left_out=("network", "storage"),
        ),
        carbon=Carbon(
            operational_location_kgco2e=est(546.0, 470.0, 640.0, model),
            operational_market_kgco2e=est(31.2, 29.0, 34.4, model),
            embodied_kgco2e=est(26.0, 12.0, 55.0, Basis.ASSUMED),
        ),
        water_l=est(2730.0, 2100.0, 3600.0, model),
        water_on_site_l=est(390.0, 375.0, 411.0, model),
        water_off_site_l=est(2340.0, 1700.0, 3200.0, model),
        cost_usd=est(3379.2, None, None, Basis.PUBLISHED, "given by the user"),
        development=None,
        uncertainty={
            "energy.facility_kwh": {"pue": 0.61, "servers_kwh": 0.39},
            "carbon.operational_location_kgco2e": {"grid_gco2e_per_kwh": 0.66, "pue": 0.21, "servers_kwh": 0.13},
            "carbon.embodied_kgco2e": {"embodied_card_kgco2e": 0.7, "lifetime_years": 0.3},
        },
        data_version="2026.11",
        notes=("memory: 64 modules of 3 W",),
    )


def gpu_series(points: int = 240) -> Series:
    """Power of a day with a restart at noon, a grid that is cleanest then, and a loss that falls as it should."""
    time = tuple(i * DAY / points for i in range(points))
    restart = range(points // 2, points // 2 + 6)
    boards = tuple(12_000.0 if i in restart else 42_000.0 + 900 * math.sin(i / 3) for i in range(points))
    cpu = tuple(None if i in (30, 31, 32) else 5_000.0 + 200 * math.cos(i / 5) for i in range(points))
    steps = tuple(range(0, 25_700, 257))
    return Series(
        time_s=time,
        power_w={"accelerators": boards, "cpu": cpu},
        steps=steps,
        step_time_s=tuple(s * 3.36 for s in steps),
        step_tokens=tuple(s * 2_097_152 for s in steps),
        step_loss=tuple(2.2 + 8.2 * (s + 257) ** -0.45 for s in steps),
        step_kwh=tuple(1560.0 * s / 25_700 for s in steps),
        grid_time_s=tuple(3600.0 * h for h in range(24)),
        grid_gco2e_per_kwh=tuple(350.0 + 90 * math.cos(2 * math.pi * (h - 6) / 24) for h in range(24)),
    )


def gpu_run() -> Run:
    """A measured run with a forecast, a plan, stages, series and evidence."""
    made = planned()
    return Run(
        id="20261103-120000-llama-7b-4f2a",
        name="llama-7b",
        kind=MEASURED,
        status="finished",
        begun_unix_s=BEGUN,
        ended_unix_s=BEGUN + DAY,
        purpose="final",
        project="base-models",
        tags=("paper", "v2"),
        account=gpu_account(),
        plan=plain(made.plan),
        work=Work(parameters=6_738_415_616, tokens=53_999_566_848, steps=25_749, training_flop=2.36e21, loss=2.33,
                  held_out_loss=2.36, bits_per_byte=0.81),
        forecast=made.account,
        forecast_inputs=made.inputs,
        site=plain(made.plan.site),
        hardware={"NVIDIA H100 80GB HBM3": 64},
        nodes=8,
        stages=(Stage(name="stepping", duration_s=80_640.0), Stage(name="evaluation", duration_s=2_400.0),
                Stage(name="checkpoints", duration_s=1_200.0), Stage(name="lost work", duration_s=2_160.0)),
        series=gpu_series(),
        evidence=Evidence(
            tonne_version="0.1.0", data_version="2026.11", python="3.11.9", platform="Linux-6.8-x86_64",
            journal_sha256="3b7e" * 16, journal_lines=86_512, plan_sha256="91ac" * 16,
            commands=("tonne run --site DE -- torchrun --nproc-per-node 8 train.py",),
        ),
        links=(Link(kind=FORETOLD_BY, to="forecast-0123456789ab"),),
        notes=("one restart at noon",),
    )  # fmt: skip


def cpu_account(scale: float = 1.0) -> Account:
    """75 seconds of a machine of two cores without sensors, and without a place."""
    model = Basis.MODELLED
    return Account(
        duration_s=est(75.0 * scale),
        accelerator_hours=est(0.0),
        throughput=Throughput(tokens_per_s=est(9_400.0)),
        energy=EnergyUse(
            accelerators_kwh=est(0.0, None, None, Basis.MEASURED, "no accelerator"),
            cpu_kwh=est(0.00052 * scale, 0.00031 * scale, 0.00088 * scale, model, "model of processors"),
            memory_kwh=est(0.00006 * scale, 0.00003 * scale, 0.0001 * scale, model, "model of DRAM"),
            host_rest_kwh=None,
            servers_kwh=est(0.0007 * scale, 0.0004 * scale, 0.0012 * scale, model),
            it_kwh=est(0.0007 * scale, 0.0004 * scale, 0.0012 * scale, model),
            facility_kwh=est(0.00088 * scale, 0.0005 * scale, 0.0016 * scale, Basis.ASSUMED),
            measured_kwh=None,
            coverage=0.0,
            left_out=("network", "storage"),
        ),
        carbon=Carbon(),
        water_l=None,
        cost_usd=None,
        development=None,
        uncertainty={"energy.facility_kwh": {"servers_kwh": 0.8, "pue": 0.2}},
        data_version="2026.11",
        notes=("CO2e is unknown: no place given. Give a grid zone, e.g. --grid FR, or a region.",),
    )


def cpu_run() -> Run:
    """A small GPT on a processor, as `tonne train` leaves it: losses without energy, no place, no purpose."""
    steps = tuple(range(1, 121))
    return Run(
        id="20261104-090000-gpt-small-aa01",
        name="gpt-small <b>&amp; 'co'</b>",
        kind=MEASURED,
        status="finished",
        begun_unix_s=BEGUN + DAY,
        ended_unix_s=BEGUN + DAY + 75.0,
        account=cpu_account(),
        work=Work(parameters=1_115_264, tokens=705_000, steps=120, training_flop=5.2e12, loss=3.1),
        hardware={"Intel(R) Xeon(R) Processor @ 2.60GHz": 1},
        nodes=1,
        series=Series(
            time_s=tuple(float(i) for i in range(75)),
            power_w={"cpu": tuple(25.0 + (i % 3) for i in range(75))},
            steps=steps,
            step_tokens=tuple(5875 * s for s in steps),
            step_loss=tuple(2.9 + 4.0 / math.sqrt(s) for s in steps),
            step_kwh=(None,) * len(steps),
        ),
        evidence=Evidence(tonne_version="0.1.0", data_version="2026.11", python="3.11.9", platform="Linux"),
    )


def scaled_account(share: float) -> Account:
    """The account of a run that took a share of all that the large one took."""

    def part(estimate):
        if estimate is None:
            return None
        return replace(
            estimate, value=estimate.value * share, low=estimate.low * share, high=estimate.high * share
        )  # fmt: skip

    whole = gpu_account()
    energy = {n: part(getattr(whole.energy, n)) for n in EnergyUse.__dataclass_fields__ if n.endswith("_kwh")}
    return replace(
        whole,
        duration_s=part(whole.duration_s),
        accelerator_hours=part(whole.accelerator_hours),
        energy=replace(whole.energy, **energy),
        carbon=Carbon(**{n: part(getattr(whole.carbon, n)) for n in Carbon.__dataclass_fields__}),
        water_l=part(whole.water_l),
        cost_usd=part(whole.cost_usd),
    )


def project_runs() -> list[Run]:
    """A final run, four of a sweep, one that failed, one that nobody tagged and whose energy is unknown, a forecast."""
    final = gpu_run()
    few = replace(final, plan=None, forecast=None, forecast_inputs={}, series=Series(), stages=(), links=(), notes=())
    sweep = [
        replace(few, id=f"sweep-{i}", name=f"sweep {i}", purpose="sweep", account=scaled_account(0.05),
                begun_unix_s=BEGUN - (6 - i) * DAY, ended_unix_s=BEGUN - (6 - i) * DAY + 4320)
        for i in range(4)
    ]  # fmt: skip
    failed = replace(few, id="failed-1", name="first try", status="failed", account=scaled_account(0.2))
    untold = replace(few, id="untold-1", name="old run", purpose=None, status="recovered", account=None)
    foretold = replace(few, id="forecast-1", name="forecast", kind="forecast", status="forecast", purpose=None)
    return [final, *sweep, failed, untold, foretold]
