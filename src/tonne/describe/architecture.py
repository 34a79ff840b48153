"""Architecture: one transformer, be it an encoder, a decoder or both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from tonne.describe.huggingface import architecture_fields
from tonne.describe.numerics import Numerics, Positive
from tonne.describe.presets import preset_fields, preset_ids
from tonne.describe.section import Section
from tonne.describe.task import Pooling
from tonne.errors import DescriptionError, PlanFileError, UnknownReferenceError

Linear = Literal["query", "key", "value", "output", "feed_forward"]

STARTS = ("preset", "huggingface")  # what [architecture] may start from
OF_A_DECODER = ("decoder_heads", "decoder_feed_forward_width", "decoder_experts", "decoder_vocabulary")
PLAIN_FEED_FORWARD_RATIO = 4  # Vaswani et al. 2017, section 3.3; also BERT and GPT


def _or_zero(value: Any) -> Any:  # noqa: ANN401
    """None means that there is none."""
    return 0 if value is None else value


Count = Annotated[int, Field(gt=0)]
CountOrNone = Annotated[int, Field(ge=0), BeforeValidator(_or_zero)]


class Experts(Section):
    """Mixture-of-experts feed-forward layers.

    The first ``dense_layers`` of a stack are dense; of those after them every ``every``-th has experts, but for the
    layers ``dense_at`` (counted from 0).
    """

    count: Count
    per_token: Count
    shared: int = Field(default=0, ge=0, description="experts that every token visits, besides per_token")
    width: int = Field(default=0, ge=0, description="width of one expert; left out: feed_forward_width")
    dense_layers: int = Field(default=0, ge=0)
    every: Count = 1
    dense_at: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(), description="further layers without experts")
    shared_width: int | None = Field(default=None, gt=0, description="width of one shared expert; left out: width")
    shared_gate: bool = Field(default=False, description="a learned gate scales what the shared experts add")
    shared_bias: bool | None = Field(default=None, description="left out: as the experts")
    feed_forward: Literal["plain", "gated"] | None = Field(default=None, description="left out: as the dense layers")
    bias: bool = Field(default=False, description="the experts' linears have a bias")
    router_bias: bool = False
    router_correction: bool = Field(default=False, description="a learned offset an expert, used for balance")
    router_scores: Literal["softmax", "sigmoid"] = "softmax"
    normalized_weights: bool | None = Field(default=None, description="visited ones sum to 1; left out: per_token > 1")
    routing_scale: Positive = Field(default=1.0, description="what these weights are multiplied by")
    groups: Count = Field(default=1, description="experts stand in groups, of which a token visits groups_per_token")
    groups_per_token: Count = 1
    group_score: Literal["maximum", "top-2-sum"] = "top-2-sum"
    weighted_input: bool = Field(default=False, description="weights multiply what experts take, not what they give")
    load_balance_weight: float = Field(default=0.01, ge=0, description="of the loss for balance, while training")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.per_token > self.count:
            raise DescriptionError(
                f"experts.per_token={self.per_token} is more than experts.count={self.count}. "
                f"A token can visit 1 to {self.count} experts. Lower per_token, or raise count."
            )
        return self


class LatentAttention(Section):
    """Keys and values compressed into one latent vector a token (DeepSeek's multi-head latent attention)."""

    kv_rank: Count
    query_rank: int | None = Field(default=None, gt=0, description="left out: queries are not compressed")
    rotary_width: Count
    plain_width: Count
    value_width: Count


class TaskHead(Section):
    """What a fine-tuned model puts on top for classification or for finding an answer's span.

    ``pooling``: what of a sequence's states the labels of a whole text are told from. Left out, the first token's of an
    encoder, through its pooler where it has one, and the last token's of a decoder.
    """

    labels: Count
    bias: bool = True
    dense: bool = Field(default=False, description="a width x width layer before it")
    dense_bias: bool = True
    norm: bool = Field(default=False, description="a norm between the two")
    activation: Literal["tanh", "gelu", "relu"] = Field(default="tanh", description="after the layer before it")
    pooling: Pooling | None = Field(default=None, description="left out: first of an encoder, last of a decoder")


class Architecture(Numerics):
    """Shape of one transformer.

    Fields left out are filled in at construction, so every field that a count needs holds a number: ``kv_heads``
    (heads), ``head_width`` (width / heads), ``feed_forward_width`` (4 width), ``norm_position`` (pre for a decoder,
    else post), ``norm_bias`` (layer norms have one), ``final_norm`` (unless post-norm), ``experts.width``.

    ``bias`` is true (all linears of the layers), false, or a list of the linears that have one.
    ``attention_window``: under a causal mask a token sees itself and the window - 1 before it; without one it sees
    window // 2 to either side and itself. ``window_every``: every so many layers one attends fully, the others see
    the window; the first full one is layer ``window_first_full`` (counted from 0; left out: window_every - 1). An
    irregular pattern names its full layers in ``full_attention_layers`` instead. What changes results but no count
    stands in ``Numerics``.
    """

    LINEARS: ClassVar[tuple[Linear, ...]] = ("query", "key", "value", "output", "feed_forward")

    kind: Literal["encoder", "decoder", "encoder-decoder"]
    layers: int | None = Field(default=None, gt=0, description="encoder or decoder")
    encoder_layers: int | None = Field(default=None, gt=0, description="encoder-decoder")
    decoder_layers: int | None = Field(default=None, gt=0, description="encoder-decoder")
    width: Count
    heads: Count
    kv_heads: int = Field(default=0, ge=0, description="left out: heads")
    head_width: int = Field(default=0, ge=0, description="left out: width / heads")
    feed_forward_width: int = Field(default=0, ge=0, description="left out: 4 width")
    feed_forward: Literal["plain", "gated"] = "plain"
    activation: Literal["relu", "gelu", "silu", "relu2", "xielu"] = "gelu"
    vocabulary: CountOrNone = Field(default=0, description="rows of the token table; 0: no table and no output")
    positions: Literal["learned", "sinusoidal", "rotary", "relative", "alibi", "none"] = "sinusoidal"
    max_positions: CountOrNone = 0
    norm: Literal["layer", "rms"] = "layer"
    norm_position: Literal["pre", "post", "both"] = "pre"
    bias: bool | tuple[Linear, ...] = True
    tied_embeddings: bool = True
    attention_window: int | None = Field(default=None, gt=0)
    window_every: int | None = Field(default=None, gt=1)
    window_first_full: int | None = Field(default=None, ge=0)
    full_attention_layers: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, description="instead, layers counted from 0"
    )
    experts: Experts | None = None
    latent_attention: LatentAttention | None = None

    # an encoder-decoder's decoder, where it differs from the encoder: its attention is as wide in all
    decoder_heads: int | None = Field(default=None, gt=0, description="left out: heads")
    decoder_feed_forward_width: int | None = Field(default=None, gt=0, description="left out: feed_forward_width")
    decoder_experts: Experts | None = Field(default=None, description="left out: experts")
    decoder_vocabulary: int | None = Field(default=None, gt=0, description="rows of its own token table, and logits")
    token_tables: int = Field(default=1, ge=1, description="token tables that are stored; the last is the decoder's")

    # what a family adds to the above; the defaults change nothing
    parallel_blocks: bool = Field(default=False, description="attention and feed-forward read the same input")
    shared_block_norm: bool = Field(default=False, description="parallel blocks with one norm for both")
    embedding_width: int | None = Field(default=None, gt=0, description="token table narrower than width, projected")
    embedding_projection_bias: bool = False
    output_projection: bool = Field(default=False, description="back to embedding_width before the output table")
    embedding_norm: bool = False
    embedding_norm_projected: bool = Field(default=False, description="it stands after the projection to width")
    token_types: CountOrNone = Field(default=0, description="rows of the segment table")
    pooler: bool = False
    task_head: TaskHead | None = None
    prediction_head: bool = Field(default=False, description="BERT's: dense layer, norm and output bias")
    prediction_dense_bias: bool = True
    prediction_output_bias: bool = True
    next_sentence_head: bool = False
    head_bias: bool = Field(default=False, description="the output table has a bias")
    shared_layers: bool = Field(default=False, description="all layers have the same weights (ALBERT)")
    distinct_layers: int | None = Field(default=None, gt=0, description="shared_layers: stored ones; left out: 1")
    idle_cross_attention: bool = Field(default=False, description="stored in a decoder that reads no encoder")
    norm_weight: bool = True
    norm_bias: bool = True
    first_norm: bool = Field(default=True, description="false: the first layer's attention has no norm before it")
    final_norm: bool = True
    reordered_norm: bool = Field(default=False, description="post: the norm stands on the branch (OLMo 2)")
    query_key_norm: Literal["none", "head", "each-head", "full"] = Field(
        default="none", description="head: all heads share it; each-head: each has its own, without bias"
    )
    position_offset: int = Field(default=0, ge=0, description="unused first rows of the learned position table")
    position_width: int | None = Field(default=None, gt=0, description="left out: that of the token table")
    relative_buckets: CountOrNone = Field(default=0, description="T5's bias a head and bucket, one table a stack")
    relative_per_layer: bool = Field(default=False, description="such a table in every layer")
    relative_rows: CountOrNone = Field(default=0, description="DeBERTa's table of relative positions")
    relative_norm: bool = False
    relative_products: int = Field(default=2, ge=0, le=2, description="products with that table in one score")
    relative_projections: int = Field(default=0, ge=0, le=2, description="projections of that table in every layer")
    relative_projection_biases: int = Field(default=0, ge=0, le=2, description="how many of them have a bias")
    convolution_width: int = Field(default=0, ge=0, description="a convolution and a norm after the first layer")
    convolution_groups: Count = 1
    stored_positions: bool = Field(default=False, description="the sinusoidal table is stored, and never learns")
    relative_projection: bool = Field(default=False, description="Transformer-XL's projection in every layer")
    attention_sinks: bool = Field(default=False, description="one learned score a head (gpt-oss)")
    activation_weights: int = Field(default=0, ge=0, description="learned numbers of one activation")
    multi_token_layers: int = Field(default=0, ge=0, description="further layers that predict later tokens")

    @classmethod
    def preset(cls, preset: str) -> Architecture:
        """The architecture of a published model.

        Args:
            preset: Id of the model, e.g. ``gpt-3-175b``; see ``preset_ids``.

        Returns:
            Its shape, on which every count rests. What changes results alone is that of its type's class in
            transformers; where there is none (PaLM, Gopher, Llama 4, ...) the defaults of ``Numerics`` stand.

        Raises:
            UnknownReferenceError: No such preset; the message names close ones.
        """
        return cls.model_validate(preset_fields(preset))

    @classmethod
    def preset_ids(cls) -> tuple[str, ...]:
        """Ids that ``preset`` takes."""
        return preset_ids()

    @classmethod
    def from_huggingface(cls, path: str | Path) -> Architecture:
        """The architecture of a config.json of transformers.

        Args:
            path: The file, or the folder that it lies in.

        Returns:
            The class that the file names in ``architectures``; where it names none, the type's language model.

        Raises:
            PlanFileError: The file is missing, or is not JSON.
            DescriptionError: The model type, the class or a value is not known; the text says what is.
        """
        try:
            return cls.model_validate(architecture_fields(path))
        except ValidationError as error:
            faults = "; ".join(str(fault["msg"]).removeprefix("Value error, ") for fault in error.errors())
            raise DescriptionError(f"{path}: {faults}") from None

    @model_validator(mode="wrap")
    @classmethod
    def _fill_in(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401
        """Numbers for the fields left out, which still count as left out: a changed width changes them too."""
        if not isinstance(given, dict):
            return handler(given)
        start = _start(given)
        fields = start | {name: value for name, value in given.items() if value is not None and name not in STARTS}
        made = handler(_filled_in(fields))
        made.__pydantic_fields_set__.intersection_update(fields)
        return made

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_layers(self)
        if self.heads % self.kv_heads:
            raise DescriptionError(
                f"kv_heads={self.kv_heads} does not divide heads={self.heads}: {self.heads} % {self.kv_heads} = "
                f"{self.heads % self.kv_heads}. Each key-value head serves the same number of heads. "
                f"Use one of {', '.join(str(n) for n in range(1, self.heads + 1) if self.heads % n == 0)}."
            )
        if self.positions == "learned" and not self.max_positions:
            raise DescriptionError(
                "positions='learned' needs max_positions, the rows of the table. "
                "Give it, e.g. max_positions=1024, or use positions='rotary'."
            )
        _check_family(self)
        for name in ("window_every", "full_attention_layers"):
            if getattr(self, name) is not None and self.attention_window is None:
                raise DescriptionError(
                    f"{name}={getattr(self, name)} says which layers see a window, but attention_window is left out. "
                    f"Give attention_window, or leave {name} out."
                )
        return self


def _filled_in(given: dict[str, Any]) -> dict[str, Any]:
    """The fields with the defaults that follow from others. What is no number is left for pydantic to refuse."""
    fields = dict(given)
    if isinstance(fields.get("bias"), str):
        fields["bias"] = (fields["bias"],)
    _refuse_zeros(fields)
    fields.setdefault("norm_position", "pre" if fields.get("kind") == "decoder" else "post")
    fields.setdefault("norm_bias", fields.get("norm", "layer") == "layer" and fields.get("norm_weight", True))
    fields.setdefault("final_norm", fields["norm_position"] != "post")
    if _numbers(fields, "width", "heads"):
        fields.setdefault("kv_heads", fields["heads"])
        fields.setdefault("feed_forward_width", PLAIN_FEED_FORWARD_RATIO * fields["width"])
        if "head_width" not in fields:
            fields["head_width"] = _head_width(fields)
    experts = fields.get("experts")
    if isinstance(experts, dict) and not experts.get("width"):
        fields["experts"] = {**experts, "width": fields.get("feed_forward_width", 0)}
    return fields


def _start(given: dict[str, Any]) -> dict[str, Any]:
    """The fields that a preset or a config.json brings; the others that are given replace them."""
    named = {name: given[name] for name in STARTS if given.get(name) is not None}
    if len(named) > 1:
        raise DescriptionError(
            f"preset={named['preset']!r} and huggingface={str(named['huggingface'])!r} each name an architecture. "
            f"Give one of them."
        )
    try:  # in a validator only a ValueError becomes a message with the field's path
        if "preset" in named:
            return preset_fields(str(named["preset"]))
        return architecture_fields(named["huggingface"]) if named else {}
    except (UnknownReferenceError, PlanFileError) as error:
        raise DescriptionError(str(error)) from error


def _refuse_zeros(fields: dict[str, Any]) -> None:
    """A zero or a negative number where a size was given."""
    for name in ("layers", "encoder_layers", "decoder_layers", "width", "heads", "kv_heads", "head_width"):
        if _numbers({name: fields.get(name)}, name) or fields.get(name) is None:
            continue
        if isinstance(fields[name], int | float):
            raise DescriptionError(
                f"{name}={fields[name]} is not a size: it must be 1 or more. "
                f"Give a positive whole number, or leave {name} out where it has a default."
            )


def _numbers(fields: dict[str, Any], *names: str) -> bool:
    """Whether all these fields are there, as positive whole numbers."""
    values = [fields.get(name) for name in names]
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer() and value > 0
        for value in values
    )


def _head_width(fields: dict[str, Any]) -> int:
    """Width / heads, where that is whole (latent attention has widths of its own)."""
    width, heads = int(fields["width"]), int(fields["heads"])
    if width % heads and fields.get("latent_attention") is None:
        below, above = width // heads * heads, -(-width // heads) * heads
        raise DescriptionError(
            f"width={width} cannot be split over heads={heads}: {width} % {heads} = {width % heads}. "
            f"Use a width that is a multiple of heads, e.g. {below or above} or {above}, or give head_width."
        )
    return width // heads


def _check_layers(architecture: Architecture) -> None:
    """The layers that the kind asks for, and no others."""
    a = architecture
    both = a.kind == "encoder-decoder"
    wanted = ("encoder_layers", "decoder_layers") if both else ("layers",)
    unwanted = ("layers",) if both else ("encoder_layers", "decoder_layers", *OF_A_DECODER)
    missing = [name for name in wanted if getattr(a, name) is None]
    too_many = [name for name in unwanted if getattr(a, name) is not None]
    if missing or too_many:
        wrong = " and ".join(
            [f"{name} is missing" for name in missing] + [f"{name} has no meaning here" for name in too_many]
        )
        raise DescriptionError(f"kind={a.kind!r}: {wrong}. Give {' and '.join(wanted)}, and leave out the others.")


def _check_family(architecture: Architecture) -> None:
    """Whether what a family adds fits the rest."""
    a = architecture
    inner = a.heads * a.head_width
    alike = a.heads == a.kv_heads and a.latent_attention is None
    if a.decoder_heads is not None and (inner % a.decoder_heads or not alike):
        raise DescriptionError(
            f"decoder_heads={a.decoder_heads} cannot share heads x head_width = {inner} and kv_heads={a.kv_heads}. "
            f"Use a divisor of {inner}, as many key-value heads as heads, and no latent_attention."
        )
    if a.distinct_layers is not None and not a.shared_layers:
        raise DescriptionError(
            f"distinct_layers={a.distinct_layers} says how many layers are stored where layers share weights. "
            f"Give shared_layers = true, or leave distinct_layers out."
        )
    if a.width % a.convolution_groups:
        raise DescriptionError(
            f"convolution_groups={a.convolution_groups} does not divide width={a.width}. Use a divisor of it, e.g. 1."
        )
