"""What a run is about to do, said before its first step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.train.progress import duration

if TYPE_CHECKING:
    from tonne.describe.quantity import Quantity
    from tonne.train.probe import Choices

SLOW_SHARE, FAST_SHARE = 0.25, 0.75  # of the peak; where no trial was timed, training lies between them


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The facts that the lines are made of; of the steps that this call will make."""

    name: str
    parameters: int
    vocabulary: int
    steps: int
    first_step: int
    tokens_per_step: int
    flop_per_token: float
    processes: int
    device: str
    tokens_per_s: float | None
    unigram_loss: float | None
    expected_loss: Quantity | None
    sentences: bool
    choices: int | None = None  # of a new head: labels, or the places of a sequence
    pretrained: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of the steps to come."""
        return self.steps * self.tokens_per_step

    @property
    def flop(self) -> float:
        """Model FLOP of the steps to come."""
        return self.tokens * self.flop_per_token


def outlook_lines(outlook: Outlook, choices: Choices, *, with_time: bool = True) -> list[str]:
    """Parameters, work, time (where nobody else forecasts it), and the losses to look for."""
    o = outlook
    start = "" if o.first_step == 0 else f" from step {o.first_step + 1:,} on"
    machine = f"{o.processes} process{'es' if o.processes > 1 else ''} on {o.device}"
    threads = f", {choices.threads} thread{'s' if choices.threads > 1 else ''}" if o.device == "cpu" else ""
    compiled = ", compiled" if choices.compile else ""
    return [
        f"{o.name}: {o.parameters:,} parameters; {o.steps:,} steps{start} of {o.tokens_per_step:,} tokens = "
        f"{o.tokens:,} tokens; {o.flop:.3g} FLOP",
        f"{machine}{threads}, {choices.precision}{compiled}, micro-batches of {choices.micro_batch_sequences}; "
        f"measured peak {choices.peak_flop_per_s * o.processes / 1e9:,.0f} GFLOP/s",
        *([f"expected time: {_time(outlook, choices)}"] if with_time else []),
        _losses(outlook),
    ]


def _time(o: Outlook, choices: Choices) -> str:
    """How long the steps will take, evaluation and checkpoints left out."""
    if o.tokens_per_s is not None:
        return f"about {duration(o.tokens / o.tokens_per_s)} ({o.tokens_per_s:,.0f} tokens/s in a trial)"
    at_peak = o.flop / (choices.peak_flop_per_s * o.processes)
    return f"{duration(at_peak / FAST_SHARE)} to {duration(at_peak / SLOW_SHARE)}"


def _losses(o: Outlook) -> str:
    """The loss of a model that knows nothing, of one that knows frequencies, and of this one where known."""
    parts = [_first_loss(o)]
    if o.unigram_loss is not None:
        parts.append(f"below {o.unigram_loss:.2f} once frequencies are known")
    if o.expected_loss is not None:
        e = o.expected_loss
        between = f"near {e.value:.2f}" if e.low is None or e.high is None else f"{e.low:.2f} to {e.high:.2f}"
        parts.append(f"{between} at the end ({e.source})")
    return "expected loss: starts " + "; ".join(parts)


def _first_loss(o: Outlook) -> str:
    """Where the loss starts."""
    if o.first_step:
        return "where it stopped"
    if o.choices is not None:
        return f"near {math.log(o.choices):.2f} (every choice alike)"
    if o.pretrained:
        return "where the model stands that it starts from"
    nothing = math.log(o.vocabulary) + (math.log(2) if o.sentences else 0.0)
    return f"near {nothing:.2f} (every token alike)"
