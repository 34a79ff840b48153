"""What is done where, by name: the figures of a plan's step that the time model takes."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from tonne.count.framework import FULL_PRECISION, eager_share, shares_sequence
from tonne.count.sequence import Sequence, sequence_of
from tonne.count.step import Layout, step_work
from tonne.describe.plan import Software
from tonne.timing.collectives import maximum
from tonne.timing.machine import LOW_PRECISIONS, machine_of

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.plan import Parallelism, TrainingPlan
    from tonne.estimate import Number
    from tonne.timing.machine import Machine

OLDEST_RELEASE, NEWEST_RELEASE = 2025.6, 2026.65  # years of the releases that the coefficients were fitted on
UNKNOWN = 0.5  # of a setting that a plan leaves open: halfway


def layout_of(plan: TrainingPlan, p: Parallelism, *, micro_batch_sequences: Number | None = None) -> Layout:
    """The layout of a plan's step, with as many micro-batches as the batch makes."""
    batch = plan.training.global_batch_sequences or p.data * plan.training.micro_batch_sequences
    micro = plan.training.micro_batch_sequences if micro_batch_sequences is None else micro_batch_sequences
    rounds = max(1, round(batch / (p.data * micro)))
    return Layout(
        tensor=p.tensor,
        pipeline=p.pipeline,
        data=p.data,
        context=p.context,
        expert=p.expert,
        virtual_pipeline_stages=p.virtual_pipeline_stages,
        micro_batch_sequences=batch / p.data / rounds,
        micro_batches=rounds,
        zero_2=float(p.sharding == "zero-2"),
        zero_3=float(p.sharding == "zero-3"),
        recompute_all=float(plan.training.recomputation == "full"),
        recompute_scores=float(plan.training.recomputation == "selective"),
        weight_gradients=float(plan.training.lora is None),
        whole_sequence=float(not shares_sequence(plan.software.framework, p.sequence)),
    )


def situation(  # noqa: PLR0913 - what a step rests on, by name
    architecture: Architecture,
    sequence: Sequence,
    layout: Layout,
    machine: Machine,
    *,
    precision: str,
    software: Software | None = None,
    sharded: Number = 1,
) -> dict[str, Number]:
    """Figures by name for ``step_time``; a layout of arrays makes arrays.

    Args:
        architecture: Shape of the model.
        sequence: Lengths of one sequence.
        layout: How the step is split.
        machine: Nominal rates.
        precision: As in a plan.
        software: What runs; left out: what a plan that says nothing of it gets.
        sharded: 1 where the optimizer's state is split over the copies.
    """
    software = software or Software()
    low, wide = precision in LOW_PRECISIONS, precision in FULL_PRECISION  # in 32 bits all is, attention as well
    work = step_work(architecture, sequence, layout, flash_attention=software.flash_attention, low_precision=low)
    copies = layout.data * layout.context
    expert_copies = maximum(copies * layout.tensor / layout.expert, 1.0 + 0.0 * copies)
    return {
        **work.as_dict(),
        **{f.name: getattr(layout, f.name) for f in fields(layout)},
        **{f.name: getattr(machine, f.name) for f in fields(machine)},
        "peak_16_bit_flop_per_s": machine.peak_flop_per_s if wide else machine.peak_16_bit_flop_per_s,
        "wide": float(wide),
        "length": maximum(sequence.decoder_length, sequence.encoder_length) + 0.0,
        "per_token": float(architecture.experts.per_token) if architecture.experts is not None else 1.0,
        "copies": copies,
        "expert_copies": expert_copies,
        "experts_sharded_over": 1 + sharded * (expert_copies - 1),
        "sharded_over": 1 + sharded * (copies - 1),
        "eager": eager_share(software.framework, software.compile),
        "mixture": float(architecture.experts is not None),
        **software_figures(software),
    }


def software_figures(software: Software) -> dict[str, Number]:
    """What the software does with a mixture of experts, as shares from 0 to 1, and how many years old it is."""
    dispatch, beside = software.dispatch, software.overlapped_experts
    return {
        "years_older": NEWEST_RELEASE - min(max(release_year(software.released), OLDEST_RELEASE), NEWEST_RELEASE),
        "graphed_step": float(software.graphed_step),
        "copied": UNKNOWN if dispatch is None else float(dispatch == "all-to-all"),
        "overlapped": UNKNOWN if beside is None else float(beside),
        "capacity": float(software.expert_capacity),
        "low_attention": float(software.low_precision_attention),
    }


def plan_situation(plan: TrainingPlan, parallelism: Parallelism) -> dict[str, Number] | None:
    """The situation of a plan under a layout; None where the tables know too little of its machine."""
    machine = machine_of(plan.cluster, plan.training.precision)
    if machine is None or plan.architecture is None or plan.data is None:
        return None
    a, d = plan.architecture, plan.data
    sequence = sequence_of(
        a,
        sequence_length=d.sequence_length,
        source_length=d.source_length,
        target_length=d.target_length,
        objective=plan.training.objective,
        masked_fraction=plan.training.masked_fraction,
    )
    return situation(
        a,
        sequence,
        layout_of(plan, parallelism),
        machine,
        precision=plan.training.precision,
        software=plan.software,
        sharded=float(parallelism.sharding != "none"),
    )


def release_year(released: str | None) -> float:
    """A release such as "2024-06" as a year with a fraction; left out: the newest that was fitted."""
    if released is None:
        return NEWEST_RELEASE
    year, _, month = released.partition("-")
    return int(year) + ((int(month[:2]) - 0.5) / 12 if month else 0.5)
