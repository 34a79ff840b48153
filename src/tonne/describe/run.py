"""How a run of ``tonne train`` is watched, kept and laid on its machine. None of it changes what a forecast says."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tonne.describe.quantity import Positive
from tonne.describe.section import Section

Logger = Literal["tensorboard", "wandb", "mlflow"]


class Run(Section):
    """The section ``[run]``. Steps are optimizer steps; what is left out is chosen when the run starts, and told.

    ``threads``, ``compile`` and ``micro_batch_sequences`` of ``[training]`` change the last digits of a run, so what
    was chosen is kept in its folder.
    """

    log_every: int = Field(default=10, ge=1)
    evaluate_every: int | None = Field(default=None, ge=1, description="left out: ten times a run")
    evaluation_sequences: int = Field(default=512, ge=1, description="at most so many of the held-out text")
    patience: int | None = Field(default=None, ge=1, description="evaluations without a better one before it ends")
    checkpoint_every: int | None = Field(default=None, ge=1, description="left out: ten times a run")
    keep_checkpoints: int = Field(default=2, ge=1)
    sample_every: int | None = Field(default=None, ge=1, description="left out: with each evaluation")
    sample_tokens: int = Field(default=0, ge=0, description="length of a sample of text; 0: none")
    sample_prompt: str = ""
    loggers: tuple[Logger, ...] = Field(default=(), description="besides metrics.jsonl")
    threads: int | None = Field(default=None, ge=1, description="left out: probed")
    compile: bool | None = Field(default=None, description="left out: probed, where a run is long")
    deterministic: bool = Field(default=True, description="on an accelerator too, at some cost in speed")
    expected_loss: Positive | None = Field(default=None, description="held-out, at the end, where known [nat/token]")
