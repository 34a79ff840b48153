"""The inputs that the work of a counted module brings, in place of an architecture and its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.count.module import WorkCounts, work_counts
from tonne.estimate import Basis, Estimate

if TYPE_CHECKING:
    from tonne.describe.plan import TrainingPlan
    from tonne.describe.workload import ModuleWork
    from tonne.forecasting.inputs import Collected

WIDER = 2.0  # on the logarithm of the interval: no measured row of such a module stands behind the fraction
LARGEST = 0.9  # of the peak, as in the calibration table
NO_ROWS = (
    "the work was counted from a PyTorch module: no run of such a model is in the calibration. The fraction of the "
    "peak is that of dense decoders, its interval twice as wide on a logarithmic scale; convolutions and small layers "
    "often lie in its lower half: ResNet-50 as NVIDIA published it takes 2.5 times as long as forecast in fp16 and "
    "TF32. Give step_utilisation where you can."
)


def counts_of_work(work: ModuleWork) -> WorkCounts:
    """Counts of a run of the module."""
    return work_counts(
        parameters=work.parameters,
        training_flop_per_example=work.training_flop_per_example,
        examples=work.examples,
    )


def add_examples(plan: TrainingPlan, work: ModuleWork, found: Collected) -> None:
    """Add how many examples the run sees, and in how many steps."""
    found.factors["examples"] = Estimate.exact(work.examples)
    if work.example_tokens is not None:
        found.factors["tokens"] = Estimate.exact(work.examples * work.example_tokens)
    batch = plan.training.global_batch_sequences
    if batch is not None:
        found.factors["steps"] = Estimate.exact(work.examples / batch)
    else:
        found.notes.append(
            "global_batch_sequences (here: examples) is not given: the step time is unknown, the duration is not."
        )
    training = plan.training
    if training.recomputation != "none" or training.lora is not None or training.frozen_layers:
        found.notes.append(
            "recomputation, lora and frozen_layers change nothing here: the module is counted as it is. Count it with "
            "its checkpointing, adapters or frozen parameters."
        )


def fraction_of_module(decoder: Estimate, found: Collected) -> Estimate:
    """The achieved fraction of the peak of dense decoders, widened for a model of which nothing was measured."""
    found.notes.append(NO_ROWS)
    high = decoder.value * (decoder.high / decoder.value) ** WIDER
    return Estimate(
        value=decoder.value,
        low=decoder.value * (decoder.low / decoder.value) ** WIDER,
        high=min(high, LARGEST),
        basis=Basis.ASSUMED,
        sources=(*decoder.sources, "dense decoders, widened: no measured run of such a module"),
    )
