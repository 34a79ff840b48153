"""How long a run will take on this machine: from a trial of its pieces, and from how earlier runs went here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tonne.estimate import Z_90, Basis, Estimate
from tonne.train.ahead import CHECKPOINTS, EVALUATION, FINISHING, SAMPLING
from tonne.workflow.paces import same_machine, same_shape

if TYPE_CHECKING:
    from tonne.train.ahead import Ahead, Timed
    from tonne.workflow.paces import Pace

STEP, START = "step", "start"
BY_DISK = {CHECKPOINTS, FINISHING}  # others on the processor hardly change what these take
TIMED_AS = {EVALUATION: "evaluation_s", CHECKPOINTS: "checkpoint_s", SAMPLING: "sample_s", FINISHING: "finish_s"}
# Half of a 90 % interval, as a log-spread. Seen on one shared machine of two cores: docs/training.md.
TRIAL_SPREAD = 0.25  # of a step that was only tried
STEADY_SPREAD = 0.05  # of a machine between two runs of the same steps
RATIO_SPREAD = 0.12  # of trial and run, where the machine's runs say what lies between them
CROWDED_FROM = 0.05  # ln of the slowness of a process alone, up to which it is noise
OTHER_SPREAD = 0.5  # of evaluations, checkpoints and samples that were only tried
PEAK_SHARE = (0.45, 0.2, 0.8)  # of the fastest product that training reaches, where nothing was tried
FORWARD_AND_BACKWARD = (1.3, 1.0, 1.9)  # a whole step over its forward and backward pass
TRIAL = "trial of this run's pieces"
STUDENT_90 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81)  # by degrees of freedom, from 1


def step_time_s(ahead: Ahead, timed: Timed, paces: list[Pace]) -> Estimate:
    """Time of a step of the run [s].

    Equation: ln t = sum_i w_i ln t_i / sum_i w_i, with w_i = 1 / s_i^2; t_1, s_1: the mean of earlier runs of the same
    steps and its log-spread, t_2, s_2: the trial times what lay between trial and run before; all t at the slowness
    that the machine has now, t = t_alone k.

    Args:
        ahead: The run.
        timed: Its pieces, tried.
        paces: What is kept of this machine.

    Source: tonne
    """
    tried = _tried_step(ahead, timed, paces)
    own = [_as_now(pace, STEP, timed) for pace in same_shape(paces, ahead.shape) if STEP in pace.measured]
    if not own:
        return tried
    mean, spread = _mean_and_spread(own, STEADY_SPREAD)
    if timed.step_s is None:
        return _around(mean, spread, Basis.MEASURED, _runs(own))
    down, up = math.log(tried.value / tried.low), math.log(tried.high / tried.value)
    weights = (1 / spread**2, 1 / max(down, up) ** 2)
    apart = math.log(tried.value / mean)
    value = mean * math.exp(weights[1] / sum(weights) * apart)
    together = math.hypot(1 / math.sqrt(sum(weights)), apart / 2)  # two that disagree leave it open which is right
    return _around(value, together, Basis.MEASURED, f"{_runs(own)}, {TRIAL}")


def crowd_factor(ahead: Ahead, timed: Timed, paces: list[Pace]) -> Estimate:
    """By what others on the machine will change all times from those of now: they may stay, leave, or be joined.

    A trial of a second sees a moment. Where earlier runs of the same steps knew another slowness, half of the way to it
    is expected, and both are possible.

    Equation: c = exp(h), s^2 = h^2 + (2 s_0^2 + t^2 sum_i (w d_i)^2) / (n + 2), with s = log-spread to either side; h =
    mean_j ln(k_j / k) / 2 over earlier runs of the same steps; k = slowness now; s_0 = ln(k m) / 2, m = threads: of a
    process alone k m is 1; d_i = ln(k_i / k_i,trial) of n earlier runs here, w = 1/2 where h is known, for the trial
    then counts half, else 1; and t = Student's 95 % point for n + 2 degrees of freedom.

    Args:
        ahead: The run. Of one on accelerators the slowness is not known, and taken to be theirs alone.
        timed: Its pieces, tried.
        paces: What is kept of this machine.

    Source: tonne
    """
    crowded = math.log(max(timed.slowness * ahead.threads, 1.0)) if ahead.device == "cpu" else 0.0
    now = crowded / 2 if crowded > CROWDED_FROM else 0.0
    source = "others on the machine, as many as during the trial"
    squares = [
        math.log(pace.slowness / pace.tried_slowness) ** 2
        for pace in same_machine(paces, ahead.machine)
        if STEP in pace.tried
    ]
    if not squares or timed.step_s is None:
        return _around(1.0, now, Basis.MODELLED, source)
    count = len(squares)
    usual = [math.log(pace.slowness / timed.slowness) for pace in same_shape(paces, ahead.shape) if STEP in pace.tried]
    half_way, weight = (statistics.fmean(usual) / 2, 0.5) if usual else (0.0, 1.0)
    seen = (weight * student_90(count + 2)) ** 2 * math.fsum(squares)
    spread = math.hypot(half_way, math.sqrt((2 * now**2 + seen) / (count + 2)))
    changed = f"{source}, give or take what changed within {_runs(squares)}"
    return _around(math.exp(half_way), spread, Basis.MODELLED, changed)


def _tried_step(ahead: Ahead, timed: Timed, paces: list[Pace]) -> Estimate:
    """As the trial says, or where there was none as products say [s]."""
    if timed.step_s is None:
        return _reckoned_step(ahead)
    ratios = [
        pace.alone(STEP) / (pace.tried[STEP] / pace.tried_slowness)
        for pace in same_shape(paces, ahead.shape) or same_machine(paces, ahead.machine)
        if pace.tried.get(STEP) and STEP in pace.measured
    ]
    if not ratios:
        return _around(timed.step_s, TRIAL_SPREAD, Basis.MODELLED, TRIAL)
    mean, spread = _mean_and_spread(ratios, RATIO_SPREAD)
    return _around(timed.step_s * mean, spread, Basis.MODELLED, f"{TRIAL}, times {mean:.2f} of {_runs(ratios)}")


def _reckoned_step(ahead: Ahead) -> Estimate:
    """From the speed at which the choices were tried, else from the fastest product [s]."""
    if ahead.tokens_per_s:
        seconds, factors = ahead.tokens_per_step / ahead.tokens_per_s, FORWARD_AND_BACKWARD
        source = "trial of a forward and backward pass"
    else:
        seconds = ahead.tokens_per_step * ahead.flop_per_token / ahead.peak_flop_per_s
        value, low, high = PEAK_SHARE
        factors, source = (1 / value, 1 / high, 1 / low), "fastest product of this machine"
    value, low, high = (seconds * factor for factor in factors)
    return Estimate(value=value, low=low, high=high, basis=Basis.MODELLED, sources=(source,))


def piece_times_s(ahead: Ahead, timed: Timed, paces: list[Pace]) -> dict[str, Estimate]:
    """Time of one evaluation, checkpoint, sample and finish [s], by stage; without those that the run has none of."""
    rows = same_shape(paces, ahead.shape)
    found: dict[str, Estimate] = {}
    for stage, name in TIMED_AS.items():
        own = [
            pace.measured[stage] if stage in BY_DISK else _as_now(pace, stage, timed)
            for pace in rows
            if stage in pace.measured
        ]
        tried = getattr(timed, name)
        if not ahead.times.get(stage):
            continue
        if own:
            found[stage] = _around(*_mean_and_spread(own, 2 * STEADY_SPREAD), Basis.MEASURED, _runs(own))
        elif tried is not None:
            found[stage] = _around(tried, OTHER_SPREAD, Basis.MODELLED, TRIAL)
    return found


def start_time_s(ahead: Ahead, timed: Timed, paces: list[Pace]) -> Estimate:
    """What the first step takes longer than others [s]: caches that are empty, batches that are not there yet."""
    own = [pace.measured[START] for pace in same_shape(paces, ahead.shape) if START in pace.measured]
    if own:
        value = statistics.fmean(own)
        return Estimate(value=value, low=0.5 * value, high=2 * value, basis=Basis.MEASURED, sources=(_runs(own),))
    value = timed.step_s or 0.0
    return Estimate(value=0.5 * value, low=0.0, high=2 * value, basis=Basis.ASSUMED, sources=("default: half a step",))


def _as_now(pace: Pace, name: str, timed: Timed) -> float:
    """A time of an earlier run at the slowness of now [s]; as it was where nothing was tried, and nobody knows."""
    return pace.measured[name] if timed.step_s is None else timed.slowness * pace.alone(name)


def _runs(own: Sequence[float]) -> str:
    return f"{len(own)} earlier run{'s' if len(own) > 1 else ''} on this machine"


def _mean_and_spread(values: Sequence[float], least: float) -> tuple[float, float]:
    """Geometric mean, and half of the 90 % interval of a further one in logarithms, at least so much."""
    logs = [math.log(max(value, 1e-9)) for value in values]
    mean = math.exp(statistics.fmean(logs))
    if len(logs) < 2:
        return mean, least
    own = student_90(len(logs) - 1) * statistics.stdev(logs) * math.sqrt(1 + 1 / len(logs))
    # Few runs say little of their spread: it is drawn towards the usual one, as if two more had shown that.
    return mean, max(least, math.sqrt((2 * least**2 + (len(logs) - 1) * own**2) / (len(logs) + 1)))


def student_90(degrees: int) -> float:
    """Half of a 90 % interval over the standard deviation that so many degrees of freedom have shown."""
    return STUDENT_90[degrees - 1] if degrees <= len(STUDENT_90) else Z_90


def _around(value: float, spread: float, basis: Basis, source: str) -> Estimate:
    factor = math.exp(spread)
    return Estimate(value=value, low=value / factor, high=value * factor, basis=basis, sources=(source,))
