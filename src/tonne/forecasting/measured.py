"""What one measured step of a plan's stack says of its forecast: by how much, and how sure it makes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.workload import Counts
from tonne.describe.plan import Parallelism
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate, Number
from tonne.reference.families import coefficients_of
from tonne.reference.time_stacks import UNSEEN, log_half_width, remeasured_log_half_width, scaled_log_half_width

if TYPE_CHECKING:
    from tonne.count.module import WorkCounts
    from tonne.describe.plan import MeasuredStep, TrainingPlan

FLOP_PER_TFLOP = 1e12
GIVEN = "one measured step, given by the user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescaled:
    """The factor on the model's step time, and the half-width of the interval in logarithms that is left."""

    factor: Number
    log_half_width: Number


def rescaled(
    plan: TrainingPlan, precision: str, seconds: Number, predicted_s: Callable[[TrainingPlan], Number]
) -> Rescaled | None:
    """The factor that a plan's measured step puts on the model; None where it has none.

    Equation: k = t_m / t_p, with t_m = the measured step, t_p = what the model says of the measured configuration.

    Args:
        plan: With ``schedule.measured_step_s`` (of this plan) or ``schedule.measured_step`` (of another layout).
        precision: Of which the accelerator has a peak.
        seconds: The model's step time of the plan [s].
        predicted_s: The model's step time of another plan [s].
    """
    own, other = plan.schedule.measured_step_s, plan.schedule.measured_step
    if own is not None:
        return Rescaled(factor=own / seconds, log_half_width=remeasured_log_half_width())
    if other is None:
        return None
    kind = "dense" if plan.architecture is None or plan.architecture.experts is None else "moe"
    predicted = predicted_s(measured_plan(plan, other))
    ratio = plan.cluster.accelerators / other.accelerators  # type: ignore[operator] # a plan that trains says how many
    scale = max(ratio, 1 / ratio) if isinstance(ratio, float) else float(max(ratio.max(), (1 / ratio).max()))
    width = scaled_log_half_width(kind, plan.training.precision, scale)
    if coefficients_of(plan.cluster.record.id, precision, plan.software.framework).log_half_width:
        width = max(width, log_half_width(kind, precision, UNSEEN))  # no pair of such a chip shows how it scales
    return Rescaled(factor=other.seconds / predicted, log_half_width=width)


def require_batch(plan: TrainingPlan) -> None:
    """Checked: a measured step is that of a known batch.

    Raises:
        DescriptionError: The plan does not say its batch.
    """
    if plan.training.global_batch_sequences is None:
        raise DescriptionError(
            "a measured step says nothing without its batch: [training] global_batch_sequences is missing. Give the "
            "sequences of one step, e.g. 1536."
        )


def fraction_of_measured(plan: TrainingPlan, counts: Counts | WorkCounts, precision: str) -> Estimate:
    """The share of the peak that this plan's own measured step says, where the time model knows nothing of the chip.

    Equation: f = C_b / (n P t), with C_b = model FLOP of a batch, n = accelerators, P = peak, t = the measured step.

    Raises:
        DescriptionError: The step is of another layout, or the plan's work is that of a module.
    """
    record, seconds = plan.cluster.record, plan.schedule.measured_step_s
    if seconds is None or not isinstance(counts, Counts):
        raise DescriptionError(
            f"no layout of the model is known on {record.id}, so a step measured elsewhere says nothing of this plan. "
            "Give [schedule] measured_step_s of this very plan, or step_utilisation."
        )
    batch, peak = plan.training.global_batch_sequences, record.peak_dense_tflop_per_s[precision] * FLOP_PER_TFLOP
    flop = counts.training_flop_per_token * counts.sequence_length * batch  # type: ignore[operator] # required before
    fraction = flop / (plan.cluster.accelerators * peak * seconds)  # type: ignore[operator] # a run says how many
    spread = math.exp(remeasured_log_half_width())
    return Estimate(
        value=fraction, low=fraction / spread, high=fraction * spread, basis=Basis.MODELLED, sources=(GIVEN,)
    )


def measured_plan(plan: TrainingPlan, step: MeasuredStep) -> TrainingPlan:
    """The plan as it stood when the step was measured."""
    layout = {name: getattr(step, name) for name in Parallelism.model_fields}
    training = {
        "global_batch_sequences": step.global_batch_sequences,
        "micro_batch_sequences": step.micro_batch_sequences,
        "recomputation": step.recomputation,
    }
    return plan.model_copy(
        update={
            "parallelism": Parallelism(**layout),
            "training": plan.training.model_copy(update=training),
            "cluster": plan.cluster.model_copy(update={"accelerators": step.accelerators}),
        }
    )
