"""USE: the requests that a trained model answers, and how it is served."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tonne.describe.quantity import Positive, Share
from tonne.describe.section import Section
from tonne.errors import DescriptionError
from tonne.reference.accelerators import accelerator

ServedPrecision = Literal["fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4", "int4"]
SPELLINGS = {
    "mxfp8": "fp8", "w8a8": "int8", "nvfp4": "fp4", "mxfp4": "fp4", "awq": "int4", "gptq": "int4", "w4a16": "int4",
    "float16": "fp16", "bfloat16": "bf16", "float32": "fp32",
}  # fmt: skip


class Inference(Section):
    """What using the model is: requests and how they are served. Fields left out take defaults that the result lists.

    Give ``requests`` in all, or ``requests_per_day`` with ``days``; with neither, figures are per request.
    ``batch_sequences`` are decoded together on one replica; ``busy_fraction`` is the share of the time that a replica
    serves, the rest it idles.
    """

    requests: float | None = Field(default=None, gt=0, description="in all")
    requests_per_day: float | None = Field(default=None, gt=0)
    days: float | None = Field(default=None, gt=0, description="of service; left out: 365")
    prompt_tokens: int = Field(default=500, ge=1, description="tokens in a prompt, or that an encoder reads")
    output_tokens: int = Field(default=300, ge=1, description="tokens in an answer; an encoder has none")
    batch_sequences: int = Field(default=16, ge=1, description="sequences decoded together on a replica")
    weight_precision: ServedPrecision = "bf16"
    cache_precision: ServedPrecision = "bf16"
    accelerator: str | None = Field(default=None, description="left out: the cluster's")
    accelerators: int | None = Field(
        default=None, ge=1, description="of one replica; left out: the fewest that hold it"
    )
    usd_per_accelerator_hour: Positive | None = Field(default=None, description="left out: as for the training")
    cache: bool = Field(default=True, description="keys and values are kept")
    busy_fraction: Share | None = Field(default=None, description="share of the time that a replica serves")

    @field_validator("weight_precision", "cache_precision", mode="before")
    @classmethod
    def _spelling(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file held
        return SPELLINGS.get(str(value).lower(), str(value).lower())

    @field_validator("accelerator")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            accelerator(name)  # raises with the candidates
        return name

    @model_validator(mode="after")
    def _requests(self) -> Inference:
        if self.requests is not None and (self.requests_per_day is not None or self.days is not None):
            raise DescriptionError(
                "requests counts all of them: requests_per_day and days say it a second time. "
                "Give requests, or requests_per_day with days."
            )
        if self.days is not None and self.requests_per_day is None:
            raise DescriptionError("days without requests_per_day says nothing. Give requests_per_day too, e.g. 1e6.")
        return self
