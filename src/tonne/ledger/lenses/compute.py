"""Training compute of a run by the two approaches of the Commission's guidelines, annex A."""

from __future__ import annotations

from dataclasses import dataclass

from tonne.account import Account
from tonne.errors import DescriptionError, UnknownReferenceError
from tonne.estimate import Basis, Estimate, propagate
from tonne.ledger.records import FORECAST, Run
from tonne.reference.accelerators import AcceleratorRecord, accelerator
from tonne.reference.goodput import peak_flop_per_s
from tonne.units import SECONDS_PER_HOUR

FLOP_PER_PARAMETER_AND_TOKEN = 6
OCCUPANCY_FROM = 0.7  # no run that was published reached it: such a figure is the share of time that a chip was busy
EXACT_COUNT = "counted layer by layer, forward and backward, recomputation left out"
SIX_PD = "C = 6 P D, with P the active parameters and D the tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """Training compute by one approach [FLOP]; where it is None, ``how`` says what is missing."""

    flop: Estimate | None
    how: str
    independent: bool = True  # of the other approach
    notes: tuple[str, ...] = ()


def training_flop(run: Run) -> Estimate | None:
    """Model FLOP of a run, by its architecture where that is known, else by its hardware."""
    found = by_architecture(run)
    return by_hardware(run).flop if found.flop is None else found.flop


def six_p_d(parameters: float, tokens: float) -> float:
    """Training compute of a large dense transformer [FLOP].

    Equation: C = 6 P D, with P = parameters, D = tokens.

    Valid for: dense transformers with far more parameters than a twelfth of the context.
    Source: ec2025gpai, annex A, paragraphs 130 to 132.
    """
    return FLOP_PER_PARAMETER_AND_TOKEN * float(parameters) * float(tokens)  # beyond 64 bits


def hardware_flop(accelerator_hours: float, peak_flop_per_s: float, utilisation: float) -> float:
    """Training compute from the use of hardware [FLOP].

    Equation: C = N L H U, with N L = accelerator_hours x 3600, H = peak_flop_per_s, U = utilisation.

    Args:
        accelerator_hours: Accelerators times hours that they were held [h].
        peak_flop_per_s: Theoretical peak of one, dense, in 16 bits [FLOP/s].
        utilisation: Model FLOP over what the peak allows in all of that time, 0 to 1.

    Source: ec2025gpai, annex A, paragraphs 126 to 128.
    """
    return accelerator_hours * SECONDS_PER_HOUR * peak_flop_per_s * utilisation


def by_architecture(run: Run) -> Approach:
    """Operations of the passes that were made, from the model and its tokens."""
    work = run.work
    if work.training_flop is not None:
        return Approach(flop=Estimate.exact(work.training_flop, Basis.MODELLED, "count"), how=EXACT_COUNT)
    parameters = work.active_parameters or work.parameters
    if parameters is None or work.tokens is None:
        return Approach(flop=None, how="neither its FLOP nor its parameters and tokens are known")
    flop = Estimate.exact(six_p_d(parameters, work.tokens), Basis.MODELLED, "ec2025gpai, annex A, paragraph 131")
    return Approach(flop=flop, how=SIX_PD)


def by_hardware(run: Run, utilisation: float | None = None) -> Approach:
    """Operations that its accelerators made, by hours, peak and utilisation.

    Args:
        run: The run.
        utilisation: Share of the dense 16-bit peak that model FLOP took over all hours, where the user states it.

    Raises:
        DescriptionError: The utilisation is no share.
    """
    if utilisation is not None and not 0 < utilisation <= 1:
        raise DescriptionError(f"utilisation={utilisation} is no share. Give model FLOP over the peak's, 0 to 1.")
    hours = None if run.account is None else run.account.accelerator_hours
    if hours is None:
        return Approach(flop=None, how="its accelerator-hours are unknown")
    if hours.value == 0:
        return Approach(flop=None, how="it had no accelerators")
    peak = _mean_peak(run)
    if peak is None:
        return Approach(flop=None, how="no 16-bit peak of its hardware is in the tables")
    used = _utilisation(run, peak, utilisation)
    if used is None:
        return Approach(flop=None, how="its utilisation (MFU) was not measured; state it, e.g. --utilisation 0.4")
    share, how, independent, notes = used
    found = propagate(
        lambda x: {"flop": hardware_flop(x["hours"], peak, x["share"])},
        {"hours": hours, "share": share},
    ).outputs["flop"]
    text = (
        f"C = N L H U: {hours.value:.4g} accelerator-hours, dense 16-bit peak {peak:.4g} FLOP/s, U = {share.value:.3g}"
        f" ({how})"
    )
    return Approach(flop=found, how=text, independent=independent, notes=notes)


Used = tuple[Estimate, str, bool, tuple[str, ...]]


def _utilisation(run: Run, peak: float, stated: float | None) -> Used | None:
    """Share of the dense 16-bit peak over all hours, how it is known, whether independently, and what is to be said."""
    if stated is not None:
        return Estimate.exact(stated, Basis.ASSUMED), "stated", True, _occupancy_note(stated)
    foretold = run.kind == FORECAST
    own = _of_account(run, run.account, peak, foretold=foretold)
    if own is not None:
        circular = foretold and run.work.training_flop is not None
        return own, "forecast from the same count" if circular else "MFU times goodput", not circular, ()
    told = _of_tokens(run, peak)
    if told is not None:
        return told, "MFU from the tokens per second that were measured", False, ()
    planned = _of_account(run, run.forecast, peak, foretold=True)
    return None if planned is None else (planned, "as forecast before it began", True, ())


def _of_tokens(run: Run, peak: float) -> Estimate | None:
    """MFU from measured tokens per second and the count of FLOP per token; all hours are taken to have been as fast."""
    speed = None if run.account is None else run.account.throughput.tokens_per_s
    chips = sum(count for _, count in accelerators_of(run).values())
    if speed is None or not run.work.training_flop or not run.work.tokens:
        return None
    per_token = run.work.training_flop / run.work.tokens
    return propagate(lambda x: {"u": x["speed"] * per_token / (chips * peak)}, {"speed": speed}).outputs["u"]


def _of_account(run: Run, account: Account | None, peak: float, *, foretold: bool) -> Estimate | None:
    """MFU while stepping times the share of time that steps took, put on the 16-bit peak.

    Steps of a run that is forecast are slower than its MFU by its pace.
    """
    if account is None or account.throughput.achieved_peak_fraction is None:
        return None
    throughput = account.throughput
    counted_on = run.forecast_inputs.get("peak_flop_per_s")
    ratio = 1.0 if counted_on is None else counted_on.value / peak
    pace = run.forecast_inputs.get("pace") if foretold else None
    ratio *= 1.0 if pace is None else pace.value
    inputs = {"fraction": account.throughput.achieved_peak_fraction}
    if throughput.goodput is not None:
        inputs["goodput"] = throughput.goodput
    return propagate(lambda x: {"u": x["fraction"] * x.get("goodput", 1.0) * ratio}, inputs).outputs["u"]


def _occupancy_note(stated: float) -> tuple[str, ...]:
    if stated < OCCUPANCY_FROM:
        return ()
    return (
        f"U = {stated:g} looks like occupancy (the share of time in which a chip is busy, 0.9 to 0.99 in nvidia-smi), "
        f"not like MFU (0.2 to 0.5): compute would be overstated two to five times.",
    )


def accelerators_of(run: Run) -> dict[str, tuple[AcceleratorRecord, int]]:
    """Accelerators that the tables know, by the name that the run or its plan gives them, and how many."""
    cluster = {} if run.plan is None else run.plan.get("cluster") or {}
    planned = {cluster["accelerator"]: cluster.get("accelerators") or 1} if cluster.get("accelerator") else {}
    found = {}
    for name, count in (run.hardware or planned).items():
        try:
            found[name] = (accelerator(name).record, count)
        except UnknownReferenceError:
            continue  # a processor, or a chip of which no peak is known
    return found


def _mean_peak(run: Run) -> float | None:
    """Dense 16-bit peak of one accelerator, the mean where they differ [FLOP/s]; None where one is unknown."""
    known = accelerators_of(run)
    each = [(peak_flop_per_s(record, "bf16"), count) for record, count in known.values()]
    total = sum(count for _, count in each)
    if not total or len(known) < len(run.hardware) or any(peak is None for peak, _ in each):
        return None
    return sum(peak * count for peak, count in each if peak is not None) / total
