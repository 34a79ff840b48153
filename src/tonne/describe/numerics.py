"""What changes a transformer's results but none of its counts: scales, bases, small numbers, the form of a function."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tonne.describe.section import Section

Positive = Annotated[float, Field(gt=0)]
PositionCount = Annotated[int, Field(gt=0)]
Layer = Annotated[int, Field(ge=0)]


class RotaryScaling(Section):
    """How rotary positions are stretched beyond the length that a model was trained on.

    ``linear`` divides all positions by ``factor``. ``dynamic`` raises the base once a sequence is longer than
    ``original_positions``. ``llama3`` and ``yarn`` stretch slow rotations, keep fast ones, and pass over from one to
    the other in between. ``magnitude`` multiplies sines and cosines (yarn; left out: 0.1 ln factor + 1).

    Source: peng2023yarn, section 3; dubey2024llama3, section 3.2.
    """

    kind: Literal["linear", "dynamic", "llama3", "yarn"]
    factor: Positive
    original_positions: PositionCount | None = Field(default=None, description="length trained on [token]")
    low_frequency_factor: Positive = 1.0
    high_frequency_factor: Positive = 4.0
    fast_rotations: Positive = 32.0
    slow_rotations: Positive = 1.0
    magnitude: Positive | None = None
    truncated: bool = Field(default=True, description="yarn: the bounds of the passage are whole numbers")


class Numerics(Section):
    """The fields of an Architecture that change results but no count."""

    norm_epsilon: Positive = 1e-5
    norm_unit_offset: bool = Field(default=False, description="a norm multiplies by 1 + weight (Gemma)")
    gelu_approximation: Literal["none", "tanh", "sigmoid"] = Field(default="none", description="none: the exact erf")
    swiglu_limit: Positive | None = Field(default=None, description="gpt-oss's clamped gate, in layers with experts")
    pooler_activation: Literal["tanh", "gelu"] = "tanh"
    multi_token_weight: float = Field(
        default=0.3, ge=0, description="of the loss of multi_token_layers, while training"
    )
    initial_std: Positive = Field(default=0.02, description="spread of the weights before training")

    embedding_scale: Positive = Field(default=1.0, description="what token vectors are multiplied by")
    residual_scale: Positive = Field(default=1.0, description="what a branch is multiplied by before it is added")
    output_scale: Positive = Field(default=1.0, description="what logits are multiplied by")
    output_softcap: Positive | None = Field(default=None, description="logits become c tanh(logits / c)")
    attention_scale: Positive | None = Field(default=None, description="left out: 1 / sqrt(width of a head's keys)")
    attention_scale_by_layer: bool = Field(default=False, description="divided by the layer's number, from 1")
    attention_softcap: Positive | None = Field(default=None, description="scores become c tanh(scores / c)")
    query_key_norm_after_rotary: bool = False

    rotary_base: Positive = 10000.0
    rotary_width: PositionCount | None = Field(default=None, gt=1, description="turned part of a head; left out: all")
    rotary_interleaved: bool = Field(default=False, description="neighbours are pairs, not the two halves")
    rotary_scaling: RotaryScaling | None = None
    window_rotary_base: Positive | None = Field(default=None, description="base, unscaled, of layers with a window")
    unrotated_layers: tuple[Layer, ...] = Field(default=(), description="layers without rotary positions, from 0")
    sinusoidal_order: Literal["interleaved", "halves", "fairseq"] = Field(
        default="interleaved", description="sine and cosine in turn, or all sines first; fairseq: to 1/10000 itself"
    )
    relative_max_distance: PositionCount = Field(default=128, description="T5: beyond it all share one bucket")
    relative_log_distance: PositionCount | None = Field(
        default=None, description="DeBERTa: logarithmic buckets up to this distance; left out: one row a distance"
    )
