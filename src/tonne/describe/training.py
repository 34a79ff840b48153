"""HOW a model is trained: objective, batch, precision, optimizer and schedule."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tonne.describe.adapters import Lora
from tonne.describe.section import Section
from tonne.errors import DescriptionError

Precision = Literal["fp32", "tf32", "fp16", "bf16", "fp8", "fp4"]
ScheduleShape = Literal["cosine", "linear", "wsd", "constant"]
_SPELLINGS = {"mxfp8": "fp8", "nvfp4": "fp4", "mxfp4": "fp4", "float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


class Training(Section):
    """How the model is trained. Optimizer and schedule matter to ``tonne train`` alone: a forecast does not ask."""

    objective: Literal[
        "causal-lm",
        "masked-lm",
        "masked-lm+next-sentence",
        "masked-lm+sentence-order",
        "span-corruption",
        "prefix-lm",
        "seq2seq",
        "classification",
        "token-classification",
        "question-answering",
        "instruction",
    ] = "causal-lm"
    global_batch_sequences: int | None = Field(default=None, ge=1)
    micro_batch_sequences: int = Field(default=1, ge=1)
    precision: Precision = "bf16"
    recomputation: Literal["none", "selective", "full"] = "none"
    masked_fraction: float = Field(default=0.15, gt=0, le=1)
    lora: Lora | None = None
    frozen_layers: int = Field(default=0, ge=0, description="the embeddings and the first so many layers do not learn")
    optimizer: Literal["adamw", "muon"] = Field(default="adamw", description="muon: of the layers' matrices")
    learning_rate: float = Field(default=3e-4, gt=0, description="at its peak")
    matrix_learning_rate: float | None = Field(default=None, gt=0, description="Muon's; left out: learning_rate")
    weight_decay: float = Field(default=0.1, ge=0, description="of tables and matrices, not of norms and biases")
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    momentum: float = Field(default=0.95, ge=0, lt=1, description="Muon's")
    schedule: ScheduleShape = "cosine"
    warmup_steps: int | None = Field(default=None, ge=0, description="left out: a hundredth of the steps")
    final_fraction: float = Field(default=0.0, ge=0, le=1, description="of the peak learning rate, at the last step")
    decay_fraction: float = Field(default=0.2, gt=0, le=1, description="wsd: share of the steps in which it falls")
    clip: float | None = Field(default=1.0, gt=0, description="largest norm of all gradients together")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    token_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="labels of whole texts: share of their tokens left out, others each epoch"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="share of a target spread over all others too")
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="learning rate of a layer, of that of the one above"
    )
    epochs: float | None = Field(default=None, gt=0, description="tonne finetune: passes over the examples")
    seed: int = Field(default=0, ge=0, lt=2**63)

    @property
    def learns_pairs(self) -> bool:
        """Whether it also learns how two segments stand to one another."""
        return self.objective in {"masked-lm+next-sentence", "masked-lm+sentence-order"}

    @field_validator("precision", mode="before")
    @classmethod
    def _spelling(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file held
        return _SPELLINGS.get(str(value).lower(), str(value).lower())

    @model_validator(mode="after")
    def _one_way_to_freeze(self) -> Training:
        if self.lora is not None and self.frozen_layers:
            raise DescriptionError("lora freezes the whole model: leave frozen_layers out, or leave lora out.")
        return self

    @model_validator(mode="after")
    def _muon_alone_has_matrices_apart(self) -> Training:
        if self.matrix_learning_rate is not None and self.optimizer != "muon":
            raise DescriptionError(
                f"matrix_learning_rate={self.matrix_learning_rate:g} is Muon's, but optimizer={self.optimizer!r}. "
                f"Use optimizer = 'muon', or leave matrix_learning_rate out."
            )
        return self
