"""What a run has before it, and how long pieces of it take here: what a forecast of this very run is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

STEPPING, EVALUATION, CHECKPOINTS = "stepping", "evaluation", "checkpoints"
SAMPLING, FINISHING = "sampling", "finishing"
STAGES = (STEPPING, EVALUATION, CHECKPOINTS, SAMPLING, FINISHING)  # of a run's time, in the order that they are told in


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Times of one step and of one of each thing that is done between steps, tried here and now [s].

    None where it was not tried: too large, or shared out over processes. ``slowness``: on a processor the time of a
    step over the CPU time that it took, which grows where others want the processor too; else 1.
    """

    step_s: float | None = None
    evaluation_s: float | None = None
    checkpoint_s: float | None = None
    sample_s: float | None = None
    finish_s: float | None = None
    slowness: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """The steps that a call will make, up to ``last_step``, and how often it will do something between them.

    Attributes:
        name: Of the plan.
        first_step: Steps that were made before, by the run that is gone on with.
        steps: To be made now.
        total_steps: Of the plan.
        times: Evaluations, checkpoints, samples of text and the finish, by the name of their stage.
        may_stop_early: The plan has patience, which may end the run before its last step.
        tokens_per_step: In the mean.
        flop_per_token: Model FLOP, forward and backward.
        parameters: All of the model.
        processes: That train together.
        processes_here: Of them, on this machine.
        first: Whether this process speaks for all.
        threads: Of the processor, that each process computes with.
        device: "cpu", "cuda", ...
        chips: What the driver calls the accelerators that this machine trains on; none on a processor.
        precision: Of the products.
        tokens_per_s: In the trial that the choices were made by; None where none was made.
        peak_flop_per_s: Of all processes: their fastest matrix product.
        machine: What tells this machine, torch and the device from others.
        shape: What tells all that a step's time rests on, the machine too.
        trial: Tries the pieces once more as they will be done, within a second, or a hundredth of the run. All
            processes must call it together.
    """

    name: str
    first_step: int
    steps: int
    total_steps: int
    times: Mapping[str, int]
    may_stop_early: bool
    tokens_per_step: int
    flop_per_token: float
    parameters: int
    processes: int
    processes_here: int
    first: bool
    threads: int
    device: str
    chips: tuple[str, ...]
    precision: str
    tokens_per_s: float | None
    peak_flop_per_s: float
    machine: str
    shape: str
    trial: Callable[[], Timed] = field(default=Timed, repr=False, compare=False)

    def facts(self) -> dict[str, Any]:
        """Its fields as built-in types, the trial left out."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "trial"}


def times_due(first_step: int, last_step: int, total_steps: int, every: int | None) -> int:
    """How often something falls due that comes every so many steps, and with the last step of the plan.

    Args:
        first_step: Steps that were made before.
        last_step: Number of the last step to be made.
        total_steps: Of the plan.
        every: Steps between; None: never.
    """
    if every is None or last_step <= first_step:
        return 0
    regular = last_step // every - first_step // every
    return regular + (last_step == total_steps and last_step % every != 0)
