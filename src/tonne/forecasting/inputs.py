"""Every input of a forecast by name: what the plan says, else what the tables know, else a stated default."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from tonne.count.fit import with_fit
from tonne.count.memory import Memory, memory_per_accelerator
from tonne.count.module import WorkCounts
from tonne.count.sequence import LABELS
from tonne.count.workload import Counts, counts_of
from tonne.describe.plan import Parallelism, TrainingPlan
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate, Number
from tonne.forecasting.kinds import kind_of
from tonne.forecasting.layouts import timed
from tonne.forecasting.lost_time import add_lost_time
from tonne.forecasting.measured import fraction_of_measured, require_batch
from tonne.forecasting.modification import Modification, modification_of
from tonne.forecasting.module import add_examples, counts_of_work, fraction_of_module
from tonne.forecasting.own import add_own_runs
from tonne.forecasting.place import add_place
from tonne.forecasting.watts import add_hardware
from tonne.reference.calibration import Calibration
from tonne.reference.memory_model import usable_bytes
from tonne.timing.machine import machine_of
from tonne.timing.search import LayoutChoice, LayoutFound

TERA = 1e12
DEFAULT_SEQUENCE_LENGTH = 2048
SMALL_PARAMETERS = 1e9
ENCODER_LENGTH = 512  # T5 and BERT
PEAK_FALLBACKS = {
    "fp32": ("fp32",),
    "tf32": ("tf32", "fp32"),
    "bf16": ("bf16", "fp16", "fp32"),
    "fp16": ("fp16", "bf16", "fp32"),
    "fp8": ("fp8", "bf16", "fp16"),
    "fp4": ("fp4", "fp8", "bf16"),
}


@dataclass(slots=True, kw_only=True)
class Collected:
    """Inputs while they are being collected."""

    factors: dict[str, Estimate] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    layout: LayoutFound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Inputs by name, the work counted, and what was chosen on the way."""

    factors: dict[str, Estimate]
    counts: Counts | WorkCounts | None
    memory: Memory | None
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    modification: Modification | None = None
    layout: LayoutFound | None = None


def inputs_of(plan: TrainingPlan, calibration: Calibration) -> Inputs:
    """The named inputs of a plan.

    Args:
        plan: The plan; its numbers may be arrays (see forecast_many).
        calibration: Fitted coefficients.

    Returns:
        Inputs as Estimates, counts and memory (None where the chip-hours are given without a model), notes.
    """
    if not plan.trains:
        raise DescriptionError(
            "no training run is described: [data] tokens or [cluster] accelerators is missing. Give both, or ask for "
            "the use of the model alone: tonne forecast --inference, tonne.forecast_inference(plan)."
        )
    found = Collected()
    if plan.cluster.note:
        found.notes.append(plan.cluster.note)
    counts = _counts(plan, found)
    if plan.cluster.accelerators is not None:
        found.factors["accelerators"] = Estimate.exact(plan.cluster.accelerators)
    if plan.schedule.accelerator_hours is not None:
        found.factors["accelerator_hours"] = plan.schedule.accelerator_hours.estimate()
        if plan.schedule.goodput is not None:
            found.notes.append("goodput is not used: the chip-hours given already hold what was lost.")
    else:
        _add_time(plan, counts, calibration, found)
    add_hardware(plan, found)
    add_own_runs(plan, calibration.own, found)
    add_place(plan, found)
    if plan.schedule.development_multiplier is not None:
        found.factors["development_multiplier"] = plan.schedule.development_multiplier.estimate()
    else:
        found.left_out.append("failed runs, sweeps and ablations (published projects took 1.2 to 4 times the run)")
    modification = modification_of(plan, counts, found.notes)
    return Inputs(
        factors=found.factors,
        counts=counts,
        memory=_fitting(plan, _memory(plan, counts, found.layout)),
        notes=tuple(dict.fromkeys(found.notes)),
        left_out=tuple(found.left_out),
        modification=modification,
        layout=found.layout,
    )


def sequence_lengths(plan: TrainingPlan) -> tuple[Number, Number | None, Number | None, str | None]:
    """Sequence, source and target length of a plan, and a note where one was chosen for it."""
    data, a = plan.data, plan.architecture
    if data is None or a is None:
        return DEFAULT_SEQUENCE_LENGTH, None, None, None
    length = data.sequence_length
    if a.kind == "encoder-decoder":
        source = data.source_length if data.source_length is not None else length
        target = data.target_length
        if source is None:
            source, note = ENCODER_LENGTH, f"source_length is not given: {ENCODER_LENGTH} tokens are assumed."
        else:
            note = None
        if target is None and plan.training.objective != "span-corruption":  # its targets follow from its sources
            target = source
            note = f"{note or ''} target_length is not given: {source} tokens are assumed, as the source.".strip()
        return source, source, target, note
    if length is not None:
        return length, None, None, None
    limit = a.max_positions
    chosen = DEFAULT_SEQUENCE_LENGTH if not limit else min(limit, DEFAULT_SEQUENCE_LENGTH)
    return chosen, None, None, f"sequence_length is not given: {chosen} tokens are assumed."


def _counts(plan: TrainingPlan, found: Collected) -> Counts | WorkCounts | None:
    """The work that a plan describes; None where the chip-hours are given without it."""
    if plan.workload is not None:
        return counts_of_work(plan.workload)
    if plan.architecture is None or plan.data is None:
        return None
    length, source, target, note = sequence_lengths(plan)
    if note is not None:
        found.notes.append(note)
    if plan.training.objective == "instruction" and "answer_fraction" not in plan.data.model_fields_set:
        found.notes.append("answer_fraction is not given: a loss, and logits, on all tokens are assumed.")
    if plan.training.objective in LABELS and plan.architecture.task_head is None:
        found.notes.append(
            f"[architecture] has no head for the labels of {plan.training.objective}: none is counted. Give one, e.g. "
            f"task_head = {{ labels = 2 }}, or name the labels in [task]."
        )
    return counts_of(
        plan.architecture,
        tokens=plan.data.tokens,
        sequence_length=length,
        source_length=source,
        target_length=target,
        objective=plan.training.objective,
        recomputation=plan.training.recomputation,
        masked_fraction=plan.training.masked_fraction,
        flash_attention=plan.software.flash_attention,
        answer_fraction=plan.data.answer_fraction,
        lora=plan.training.lora,
        frozen_layers=plan.training.frozen_layers,
    )


def _add_time(
    plan: TrainingPlan, counts: Counts | WorkCounts | None, calibration: Calibration, found: Collected
) -> None:
    assert counts is not None
    record, precision, schedule = plan.cluster.record, plan.training.precision, plan.schedule
    known = [p for p in PEAK_FALLBACKS[precision] if p in record.peak_dense_tflop_per_s]
    if not known:
        raise DescriptionError(
            f"the table has no peak of {record.id} for precision={precision!r}. It has: "
            f"{', '.join(record.peak_dense_tflop_per_s)}. Choose one of these, or give accelerator_hours."
        )
    if known[0] != precision:
        found.notes.append(f"{record.id} has no {precision} peak in the table: its {known[0]} peak is used.")
    found.factors["training_flop"] = Estimate.exact(counts.training_flop, Basis.MODELLED, "count")
    peak = record.peak_dense_tflop_per_s[known[0]] * TERA
    found.factors["peak_flop_per_s"] = Estimate.exact(peak, Basis(record.basis), record.source)
    found.factors["achieved_peak_fraction"] = (
        schedule.step_utilisation.estimate()
        if schedule.step_utilisation is not None
        else _achieved(plan, counts, calibration, known[0], found)
    )
    add_lost_time(schedule, calibration, found.factors)
    if plan.workload is not None:
        add_examples(plan, plan.workload, found)
    elif plan.data is not None and isinstance(counts, Counts):
        _add_tokens(plan, plan.data.tokens, counts, found)


def _achieved(
    plan: TrainingPlan, counts: Counts | WorkCounts, calibration: Calibration, precision: str, found: Collected
) -> Estimate:
    """The share of the peak that steps reach: by the time model, or without a layout, by kind of model."""
    measured = plan.schedule.measured_step_s is not None or plan.schedule.measured_step is not None
    if measured:
        require_batch(plan)
        if plan.cluster.power_cap_w is not None:
            found.notes.append("power_cap_w lengthens the measured step: it is taken as measured without the cap.")
    step = timed(plan, counts, sequence_lengths(plan)[:3], precision) if isinstance(counts, Counts) else None
    if step is not None:
        found.layout = step.layout
        found.notes += step.notes
        if plan.parallelism is None and not measured:
            add_pace(plan, calibration, found)
        return step.fraction
    if measured:
        return fraction_of_measured(plan, counts, precision)
    add_pace(plan, calibration, found)
    fraction = calibration.achieved_peak_fraction(plan.cluster.record.id, precision, kind_of(plan))
    if plan.workload is not None:
        return fraction_of_module(fraction, found)
    found.notes.append(_why_not_timed(plan, precision))
    return fraction


def add_pace(plan: TrainingPlan, calibration: Calibration, found: Collected) -> None:
    """Add how fast runs stepped whose layout is not known, beside what is forecast for them."""
    pace = calibration.pace(plan.cluster.record.id, kind_of(plan))
    found.factors["pace"] = pace
    found.notes.append(
        f"pace: published runs went at {pace.value:.0%} of the speed that was forecast for them without their layouts, "
        "and the duration of this one allows for it. A given layout, or a measured step, is taken as it is."
    )


def _why_not_timed(plan: TrainingPlan, precision: str) -> str:
    """Why the share of the peak is that of the kind of model."""
    chip, instead = plan.cluster.record.id, "the share of the peak is that of its kind of model"
    if machine_of(plan.cluster, precision) is not None and plan.parallelism is None:
        return f"no layout of the model was found that fits into the memory of so few {chip}: {instead}."
    return f"too little is known of {chip} to time a layout: {instead}."


def _add_tokens(plan: TrainingPlan, tokens: Number, counts: Counts, found: Collected) -> None:
    """Add how many tokens the run sees, and in how many steps."""
    found.factors["tokens"] = Estimate.exact(tokens)
    if counts.parameters < SMALL_PARAMETERS and plan.schedule.step_utilisation is None:
        found.notes.append(
            "below 1 billion parameters the interval of the time is too narrow: of four published runs checked, "
            "two lie outside it (tonne validate --rows). Give step_utilisation or a measured figure where you can."
        )
    if plan.training.lora is not None and plan.schedule.step_utilisation is None:
        found.notes.append(
            "the share of the peak is that of full training, and published LoRA runs of 7 to 70 billion parameters lie "
            "in its interval. Smaller models, and stacks without fused kernels, are not among them."
        )
    batch = plan.training.global_batch_sequences
    if batch is not None:
        steps = tokens / (batch * counts.sequence_length)
        found.factors["steps"] = Estimate.exact(steps)
    else:
        found.notes.append("global_batch_sequences is not given: the step time is unknown, the duration is not.")


def _fitting(plan: TrainingPlan, held: Memory | None) -> Memory | None:
    """The memory with what is needed in all, and the probability that it fits into the accelerator."""
    memory_gb = plan.cluster.record.memory_gb
    if held is None or not isinstance(held.total_bytes, int | float):
        return held
    capacity = None if memory_gb is None else usable_bytes(memory_gb)
    return with_fit(held, capacity, framework=plan.software.framework)


def _memory(plan: TrainingPlan, counts: Counts | WorkCounts | None, layout: LayoutFound | None) -> Memory | None:
    """What the layout holds, given or found; None where it is unknown, or there are many."""
    if plan.architecture is None or not isinstance(counts, Counts):
        return None
    if layout is not None:
        best = layout.chosen
        held = _memory_of(plan, counts, best, best.recomputation, int(best.micro_batch_sequences), best.micro_batches)
        if not 0 < best.recomputed_share < 1:
            return held
        plain = _memory_of(plan, counts, best, "none", int(best.micro_batch_sequences), best.micro_batches)
        return between(plain, held, best.recomputed_share)
    p = plan.parallelism
    if p is None or not all(isinstance(n, int) for n in (p.accelerators, counts.sequence_length, p.expert)):
        return None
    training = plan.training
    return _memory_of(plan, counts, p, training.recomputation, training.micro_batch_sequences, None)


def _memory_of(
    plan: TrainingPlan,
    counts: Counts,
    split: LayoutChoice | Parallelism,
    recomputation: str,
    micro_batch_sequences: int,
    micro_batches: int | None,
) -> Memory:
    assert plan.architecture is not None
    return memory_per_accelerator(
        plan.architecture,
        sequence_length=counts.sequence_length,
        micro_batch_sequences=micro_batch_sequences,
        precision=plan.training.precision,
        recomputation=recomputation,
        tensor=split.tensor,
        pipeline=split.pipeline,
        data=split.data,
        context=split.context,
        expert=split.expert,
        sharding=split.sharding,
        flash_attention=plan.software.flash_attention,
        lora=plan.training.lora,
        frozen_layers=plan.training.frozen_layers,
        virtual_pipeline_stages=split.virtual_pipeline_stages,
        micro_batches=micro_batches,
        framework=plan.software.framework,
        sequence=split.sequence if isinstance(split, Parallelism) else None,
    )


def between(first: Memory, second: Memory, share: float) -> Memory:
    """The memory with a share of the layers as in the second, the others as in the first."""
    mixed = {}
    for part in fields(first):
        one, other = getattr(first, part.name), getattr(second, part.name)
        if part.name.endswith("_bytes") and one is not None:
            mixed[part.name] = one + share * (other - one)
    return replace(second, **mixed)
