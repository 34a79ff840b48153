"""The share of the peak that a plan's steps reach, from the time of its layout: the given one, or the fastest found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.flops import model_flop
from tonne.count.framework import fusion_is_known, shares_sequence
from tonne.count.masks import minimum, whole
from tonne.count.sequence import sequence_of
from tonne.count.step import Layout
from tonne.estimate import Basis, Estimate, Number
from tonne.forecasting.measured import GIVEN, Rescaled, rescaled
from tonne.forecasting.searches import MOST_SEARCHES, found_layout, layout_notes, searched_many
from tonne.reference.batches import batch_line
from tonne.reference.families import coefficients_of
from tonne.reference.memory_model import usable_bytes
from tonne.reference.step_constants import step_constant
from tonne.reference.time_model import shipped_time_model
from tonne.reference.time_stacks import KNOWN, UNSEEN, log_half_width, stack_of
from tonne.timing.collectives import maximum
from tonne.timing.machine import machine_notes, machine_of
from tonne.timing.search import LayoutFound, Wanted, assumed_batch_sequences, assumed_batch_tokens
from tonne.timing.situation import NEWEST_RELEASE, OLDEST_RELEASE, situation
from tonne.timing.step_time import step_time_s

if TYPE_CHECKING:
    from tonne.count.workload import Counts
    from tonne.describe.plan import Parallelism, TrainingPlan

Lengths = tuple[Number, Number | None, Number | None]  # of a sequence, its source and its target [token]
SOURCE = "tonne.calibrate: time model fitted on throughput.csv"
TWO_STACKS_LOG_HALF_WIDTH = 0.29  # no encoder was measured: the spread of an effect that no row has shown
MOST_FRACTION = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """The share of the peak, the layout that was searched for (None where given), and what to say of it."""

    fraction: Estimate
    layout: LayoutFound | None
    notes: tuple[str, ...]


def timed(plan: TrainingPlan, counts: Counts, lengths: Lengths, precision: str) -> Timed | None:
    """The share of the peak that a plan's steps reach, by the time model.

    Equation: f = C_b / (n P t), with C_b = model FLOP of a batch, n = accelerators, P = peak, t = time of a step.

    Args:
        plan: Its numbers may be arrays.
        counts: Of the plan.
        lengths: Of a sequence, its source and its target, as counted [token].
        precision: Of which the accelerator has a peak.

    Returns:
        None where the tables know too little of the accelerator, or no layout of the model fits on so many.
    """
    wanted = _wanted(plan, counts, lengths, precision)
    if wanted is None:
        return None
    layout, seconds, notes = _layout_and_time(plan, wanted)
    if seconds is None:
        return None
    if plan.training.global_batch_sequences is None and isinstance(wanted.batch_sequences, int):
        factor = batch_line().spread_factor
        notes += (
            f"global_batch_sequences is not given: {wanted.batch_sequences:,} sequences are assumed to lay out the "
            f"step (printed batches on so many accelerators lie around it by a factor of {factor:.1f}).",
        )
    flop = counts.training_flop_per_token * counts.sequence_length
    if plan.training.frozen_layers:  # the time model trains every layer: so does the FLOP that goes with it
        flop = model_flop(wanted.architecture, wanted.sequence)
    known = rescaled(plan, precision, seconds, lambda other: _of_other(other, counts, lengths, precision))
    if known is not None:
        seconds = seconds * known.factor
    served = coefficients_of(plan.cluster.record.id, precision, plan.software.framework)
    notes += machine_notes(plan.cluster) + (() if served.note is None else (served.note,))
    fraction = flop * wanted.batch_sequences / (wanted.accelerators * wanted.machine.peak_flop_per_s * seconds)
    return Timed(fraction=_estimate(plan, fraction, precision, known), layout=layout, notes=notes)


def _layout_and_time(plan: TrainingPlan, wanted: Wanted) -> tuple[LayoutFound | None, Number | None, tuple[str, ...]]:
    """The layout where it was searched for, the step's time [s], and notes."""
    chip = plan.cluster.record.id
    if plan.parallelism is not None:
        return None, step_s(wanted, plan.parallelism, chip), ()
    if isinstance(wanted.accelerators, int) and isinstance(wanted.batch_sequences, int) and _one_size(wanted):
        found = found_layout(wanted, chip)
        return (None, None, ()) if found is None else (found, found.chosen.step_time_s, layout_notes(found, wanted))
    note = f"each size has its own layout; above {MOST_SEARCHES} sizes, found at powers of two and interpolated."
    return None, searched_many(wanted, chip), (note,)


def _one_size(w: Wanted) -> bool:
    """Whether nothing else is an array."""
    rank = 0 if w.lora is None else w.lora.rank
    micro = 1 if w.micro_batch_sequences is None else w.micro_batch_sequences
    sizes = (w.sequence.tokens, micro, w.machine.network_bytes_per_s, rank)
    return all(isinstance(size, int | float) for size in sizes)


def _of_other(plan: TrainingPlan, counts: Counts, lengths: Lengths, precision: str) -> Number:
    """The model's step time of the plan at the scale that was measured [s]."""
    wanted = _wanted(plan, counts, lengths, precision)
    assert wanted is not None  # the same chip and model as the plan's
    assert plan.parallelism is not None
    return step_s(wanted, plan.parallelism, plan.cluster.record.id)


def _wanted(plan: TrainingPlan, counts: Counts, lengths: Lengths, precision: str) -> Wanted | None:
    """What is asked of the time model; None where it does not know the machine."""
    a, cluster, training = plan.architecture, plan.cluster, plan.training
    machine = machine_of(cluster, precision)
    if a is None or plan.data is None or machine is None or cluster.record.memory_gb is None:
        return None
    sequence = sequence_of(
        a,
        sequence_length=lengths[0],
        source_length=lengths[1],
        target_length=lengths[2],
        objective=training.objective,
        masked_fraction=training.masked_fraction,
        answer_fraction=plan.data.answer_fraction,
    )
    given = training.model_fields_set
    batch = training.global_batch_sequences
    return Wanted(
        architecture=a,
        sequence=sequence,
        machine=machine,
        capacity_bytes=usable_bytes(cluster.record.memory_gb),
        accelerators=cluster.accelerators,  # type: ignore[arg-type] # a plan that trains says how many
        batch_sequences=_assumed_batch(plan, counts) if batch is None else batch,
        precision=precision,
        software=plan.software,
        recomputation=training.recomputation if "recomputation" in given else None,
        micro_batch_sequences=training.micro_batch_sequences if "micro_batch_sequences" in given else None,
        lora=training.lora,
        frozen_layers=training.frozen_layers,
    )


def _assumed_batch(plan: TrainingPlan, counts: Counts) -> Number:
    """A batch for a plan that names none: of a given layout, whole rounds of its copies."""
    n, p, length = plan.cluster.accelerators, plan.parallelism, counts.sequence_length
    if p is not None:
        round_of = p.data * plan.training.micro_batch_sequences
        return round_of * maximum(1, whole(assumed_batch_tokens(n) / length / round_of))
    return assumed_batch_sequences(length, n)


def _estimate(plan: TrainingPlan, fraction: Number, precision: str, known: Rescaled | None) -> Estimate:
    """The fraction with its interval: that of its kind, precision and stack, or what a measured step leaves of it."""
    chip, framework = plan.cluster.record.id, plan.software.framework
    served = coefficients_of(chip, precision, framework)
    words = "of a stack that was measured" if stack_of(framework, chip) == KNOWN else "of a stack that was not measured"
    words += "" if _settled(plan) else ", the plan does not say how tokens reach the experts"
    sources: tuple[str, ...] = (f"{SOURCE}; {words}",)
    slow, fast = _log_half_widths(plan, precision, served.log_half_width)
    basis = served.basis
    if known is not None:
        slow, fast, sources, basis = known.log_half_width, known.log_half_width, (GIVEN, SOURCE), Basis.MODELLED
    return Estimate(
        value=fraction,
        low=fraction / math.e**slow,
        high=maximum(fraction, minimum(fraction * math.e**fast, MOST_FRACTION)),
        basis=basis,
        sources=sources,
    )


def _settled(plan: TrainingPlan) -> bool:
    """Whether a mixture's plan says how tokens reach the experts, which a dense model's need not."""
    a, software = plan.architecture, plan.software
    return a is None or a.experts is None or None not in {software.dispatch, software.overlapped_experts}


def _log_half_widths(plan: TrainingPlan, precision: str, of_chip: float) -> tuple[float, float]:
    """Half-widths of the interval in logarithms, to the slow and to the fast side.

    That of its kind, precision and stack, and beside it, added in squares: encoders, the chip, what is not known of the
    fusion of its operations, and (to the slow side alone) a mixture's software of unknown age.
    """
    a, software = plan.architecture, plan.software
    assert a is not None
    kind = "dense" if a.experts is None else "moe"
    stack = stack_of(software.framework, plan.cluster.record.id)
    partial = plan.training.lora is not None or bool(plan.training.frozen_layers)
    further = [of_chip]
    if a.kind != "decoder":
        further.append(TWO_STACKS_LOG_HALF_WIDTH)
    if not fusion_is_known(software.framework, software.compile):
        further.append(math.log(step_constant("compile_gain")))
    of_kind = log_half_width(kind, precision, UNSEEN if partial else stack, settled=_settled(plan))
    fast = math.hypot(of_kind, *further)
    if a.experts is None or software.released is not None:
        return fast, fast
    per_year = shipped_time_model().coefficients["mixture_older"]
    return math.hypot(fast, (NEWEST_RELEASE - OLDEST_RELEASE) * math.log(per_year)), fast


def step_s(wanted: Wanted, p: Parallelism, accelerator_id: str) -> Number:
    """Time of a step under a given layout [s]; its fields may be arrays."""
    micro = 1 if wanted.micro_batch_sequences is None else wanted.micro_batch_sequences
    rounds = maximum(1, whole(wanted.batch_sequences / (p.data * micro)))
    layout = Layout(
        tensor=p.tensor,
        pipeline=p.pipeline,
        data=p.data,
        context=p.context,
        expert=p.expert,
        virtual_pipeline_stages=p.virtual_pipeline_stages,
        micro_batch_sequences=wanted.batch_sequences / p.data / rounds,
        micro_batches=rounds,
        zero_2=float(p.sharding == "zero-2"),
        zero_3=float(p.sharding == "zero-3"),
        recompute_all=float(wanted.recomputation == "full"),
        recompute_scores=float(wanted.recomputation == "selective"),
        weight_gradients=float(wanted.lora is None),
        whole_sequence=float(not shares_sequence(wanted.framework, p.sequence)),
    )
    figures = situation(
        wanted.architecture,
        wanted.sequence,
        layout,
        wanted.machine,
        precision=wanted.precision,
        software=wanted.software,
        sharded=float(p.sharding != "none"),
    )
    return step_time_s(figures, coefficients_of(accelerator_id, wanted.precision, wanted.framework).values)
