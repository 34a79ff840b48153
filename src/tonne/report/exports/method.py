"""The method in words, about a hundred of them, with the numbers of this very figure."""

from __future__ import annotations

from collections.abc import Sequence

from tonne.estimate import Estimate
from tonne.ledger.lenses import View
from tonne.ledger.lenses.check import MARGIN, Compute, check_eu
from tonne.ledger.lenses.compute import EXACT_COUNT
from tonne.ledger.lenses.rules import Verdict
from tonne.ledger.records import FORECAST, IMPORTED, Run
from tonne.report.exports.subject import Subject

BOUNDARIES = (
    ("facility_kwh", "facility", "all that the building draws: IT times PUE"),
    ("it_kwh", "IT", "servers, network and storage"),
    ("servers_kwh", "node", "servers with all that is in them"),
    ("accelerators_kwh", "chip", "accelerators alone"),
)


def energy_method(subject: Subject, seen: View) -> str | None:
    """How the energy was found; None where no run is counted, so that there is none."""
    runs = subject.counted(seen)
    if not runs:
        return None
    parts = [
        _how_measured(runs),
        _boundary(seen, runs),
        "Intervals are 90 %."
        if len(runs) == 1
        else "Intervals are 90 %; sums of runs add the ends of their intervals, as if all errors were shared.",
        _counted(seen),
        _data(runs),
    ]
    return " ".join(part for part in parts if part)


def compute_method(subject: Subject) -> str:
    """How the training compute was found, in the absence of a delegated act under article 53(5)."""
    check = check_eu(subject.runs, before=subject.before)
    parts = [
        "No delegated act under Article 53(5) sets a method; annex A of the Commission's guidelines of 18 July 2025 is "
        "followed.",
        _approach(check.computes),
        _agreement(check.computes),
        "Recomputation of activations, evaluations, sweeps, failed runs, teachers and auxiliary models are left out; "
        "weights that are started from are in, once. Operations count alike in every precision.",
        f"The tolerance is {MARGIN:.0%} of the figure (paragraph 123).".replace("%", " %"),
    ]
    return " ".join(part for part in parts if part)


def _approach(computes: Sequence[Compute]) -> str:
    hows = list(dict.fromkeys(one.architecture.how for one in computes if one.architecture.flop is not None))
    if hows:
        exact = "operations of each pass are counted layer by layer, forward and backward"
        return f"Architecture-based: {exact if hows == [EXACT_COUNT] else '; '.join(hows)}."
    hows = list(dict.fromkeys(one.hardware.how for one in computes if one.hardware.flop is not None))
    return f"Hardware-based: {'; '.join(hows)}." if hows else ""


def _agreement(computes: Sequence[Compute]) -> str:
    told = [one for one in computes if one.ratio is not None and one.hardware.independent]
    if not told:
        return "The hardware-based approach was not available as an independent check."
    worst = max(abs((one.ratio or 1.0) - 1) for one in told)
    return f"The hardware-based approach (C = N L H U, dense 16-bit peak, MFU) differs by {100 * worst:.2g} %."


def _how_measured(runs: Sequence[Run]) -> str:
    if all(run.kind == FORECAST for run in runs):
        hows = dict.fromkeys(_how_forecast(run) for run in runs)
        return f"Energy is estimated before the run: {'; '.join(hows)}."
    covered = [run.account.energy.coverage for run in runs if run.account and run.account.energy.coverage is not None]
    if not covered:
        return "Energy is that which another tool has reported, or a model of the hardware; sensors are not told."
    least, most = 100 * min(covered), 100 * max(covered)
    if not most:
        return "No sensor could be read: the IT energy is modelled by part, from what is in it and how busy it was."
    share = f"{least:.0f} %" if round(least) == round(most) else f"{least:.0f} to {most:.0f} %"
    return (
        f"Sensors (energy counters of accelerators and processors where there are any) read {share} of the IT energy; "
        f"the rest is modelled by part."
    )


TIME_OF = {  # what the plan gives in place of the model of time
    "accelerator_hours": "the accelerator-hours are given",
    "step_utilisation": "work is counted from the architecture, time comes from the utilisation that the plan gives",
    "measured_step_s": "work is counted from the architecture, time comes from a step that was measured",
    "measured_step": "work is counted from the architecture, time comes from a step that was measured elsewhere",
}
MODELLED_TIME = (
    "work is counted from the architecture, time comes from a model of the hardware that was fitted to published runs"
)


def _how_forecast(run: Run) -> str:
    """What a forecast's time and power rest on: what the plan gives, else the models."""
    schedule, cluster = ((run.plan or {}).get(name) or {} for name in ("schedule", "cluster"))
    time = next((text for name, text in TIME_OF.items() if schedule.get(name) is not None), MODELLED_TIME)
    given = cluster.get("accelerator_power_w") is not None
    return f"{time}; power is {'as the plan gives it' if given else 'that of published measurements of such hardware'}"


def _boundary(seen: View, runs: Sequence[Run]) -> str:
    found = widest(seen)
    if found is None:
        return ""
    name, what, _ = found
    left_out = sorted({part for run in runs if run.account for part in run.account.energy.left_out})
    out = f" Not counted: {', '.join(part.replace('_', ' ') for part in left_out)}." if left_out else ""
    return f"The boundary is the {name} ({what}).{out}"


def widest(seen: View) -> tuple[str, str, Estimate] | None:
    """The widest boundary whose energy is known: its name, what it holds, and its energy [kWh]."""
    for key, name, what in BOUNDARIES:
        total = seen.totals.get(key)
        if total is not None and total.value is not None:
            return name, what, total.value
    return None


def _counted(seen: View) -> str:
    counted = [line for line in seen.of(Verdict.INCLUDED) if line.what == "run"]
    purposes = sorted({line.purpose or ("a plan" if line.status == FORECAST else "untagged") for line in counted})
    runs = f"{len(counted)} run" + ("" if len(counted) == 1 else "s")
    beside = len(seen.of(Verdict.MEMO))
    memo = f"; {beside} more {'is' if beside == 1 else 'are'} listed beside it" if beside else ""
    return f"Counted: {runs} ({', '.join(purposes)}){memo}."


def _data(runs: Sequence[Run]) -> str:
    versions = sorted({run.account.data_version for run in runs if run.account})
    tools = sorted({run.evidence.tonne_version for run in runs if run.evidence.tonne_version})
    tool = f"tonne {', '.join(tools)}" if tools else "tonne"
    return f"Tool: {tool}, reference data {', '.join(versions)}." if versions else f"Tool: {tool}."


def tool_of(runs: Sequence[Run]) -> str:
    """Who says the figures: tonne, and whether it forecast them or read them from another tool's file."""
    if all(run.kind == FORECAST for run in runs):
        return "tonne, forecast before the run"
    read = sorted({run.evidence.source or "another tool" for run in runs if run.kind == IMPORTED})
    return f"tonne, read from {', '.join(read)}" if read else "tonne"
