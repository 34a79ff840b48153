"""Bytes that one stage of a pipeline allocates at the peak of a training step, by what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.activations import Bytes, Kept, attention_kept, experts_kept, feed_forward_kept, not_kept_bytes
from tonne.count.adapters import adapter_parts
from tonne.count.finetuning import Learning, learned_numbers
from tonne.count.layers import value_width
from tonne.count.masks import maximum, minimum
from tonne.count.parameters import output_matrices, output_rows, parameter_parts
from tonne.count.stages import LayerNumbers, Stage, micro_batches_under_way, stage_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tonne.count.framework import Habits
    from tonne.describe.architecture import Architecture

SIXTEEN_BIT = 2
THIRTY_TWO_BIT = 4
MOMENTS = 2  # Adam keeps two
FULL_PRECISION = ("fp32", "tf32")
WHOLE_SUMS = 2  # of a number at work: whole gradients are summed in 32 bits
GATHERED_LAYERS = 2  # zero-3 holds the layer at work and the next one whole
SHARDING_LEVEL = {"none": 0, "zero-1": 1, "zero-2": 2, "zero-3": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the bytes of a step are counted from. ``tokens``: of one micro-batch on one accelerator."""

    architecture: Architecture
    numbers: LayerNumbers
    habits: Habits
    learning: Learning
    width_bytes: int
    sequence_length: int
    tokens: float
    recomputation: str
    scores: bool
    tensor: int
    pipeline: int
    data: int
    context: int
    expert: int
    sharding: str
    virtual_pipeline_stages: int
    micro_batches: int | None


def stage_parts(held: Held, index: int) -> dict[str, float]:
    """Bytes of one stage by what they hold, and its index.

    Returns:
        weights, gradients, optimizer, activations, logits and working [bytes], and index.
    """
    h = held
    stage = stage_of(h.numbers, index, tensor=h.tensor, pipeline=h.pipeline, expert=h.expert)
    weights, gradients, optimizer = _states(h, stage)
    logits = stage.last * logits_bytes(h)
    return {
        "weights": weights,
        "gradients": gradients,
        "optimizer": optimizer,
        "activations": kept_bytes(h, stage),
        "logits": logits,
        "working": working_bytes(h, stage, logits),
        "index": index,
    }


def fullest(stages: Sequence[dict[str, float]]) -> dict[str, float]:
    """The stage that holds most, element by element where layouts are arrays."""
    found = dict(stages[0])
    for stage in stages[1:]:
        more = _total(stage) > _total(found)
        found = {name: stage[name] * more + size * (1 - more) for name, size in found.items()}
    return found


def _total(stage: dict[str, float]) -> float:
    return sum(size for name, size in stage.items() if name != "index")


def _states(h: Held, stage: Stage) -> tuple[float, float, float]:
    numbers = (stage.dense_numbers, stage.expert_numbers)
    adapters = rank_adapters(h.architecture, h.learning, tensor=h.tensor, pipeline=h.pipeline, expert=h.expert)
    learned = rank_learned(h.architecture, h.learning, numbers, tensor=h.tensor, adapters=adapters)
    gathered = GATHERED_LAYERS * sum(numbers) / stage.layers
    if h.sharding == "zero-3":  # between the micro-batches of a pipeline nothing is gathered or scattered anew
        gathered = (h.pipeline == 1) * gathered + (h.pipeline > 1) * (sum(numbers) + WHOLE_SUMS * sum(learned))
    weights, gradients, optimizer = state_bytes(
        (numbers[0] + adapters[0], learned[0], h.data * h.context),
        (numbers[1] + adapters[1], learned[1], h.data * h.context / h.expert),
        gathered=gathered,
        width_bytes=h.width_bytes,
        gradient_bytes=h.habits.gradient_bytes,
        sharding=h.sharding,
    )
    return weights + h.habits.copy_bytes * sum(numbers), gradients, optimizer


def layer_kept(h: Held) -> tuple[Kept, Kept, Kept]:
    """What an attention, a dense block and a block of experts keep of one token."""
    a, dropout = h.architecture, h.habits.dropout and drops_out(h.architecture)
    narrow = h.habits.input_bytes
    bytes_of = Bytes(number=h.width_bytes, input=h.width_bytes if narrow is None else narrow)
    return (
        attention_kept(a, h.sequence_length, bytes_of, scores=h.scores, dropout=dropout),
        feed_forward_kept(a, bytes_of, dropout=dropout),
        experts_kept(a, bytes_of, dropout=dropout),
    )


def drops_out(architecture: Architecture) -> bool:
    """Whether a model is taken to be trained with dropout: decoders with root-mean-square norms are not (Llama)."""
    return architecture.norm == "layer" or architecture.kind != "decoder"


def kept_bytes(h: Held, stage: Stage) -> float:
    """Bytes that a stage keeps for the backward pass of all micro-batches under way.

    Equation: n m (l_d k_d + l_e k_e), with n = tokens of a micro-batch, m = micro-batches under way, l = dense and
    expert layers of the stage, k = bytes that each keeps of a token; with full recomputation n (m l W h + k), with
    W h = the bytes of a layer's input; where every second product is recomputed, the others' outputs beside it.

    Source: korthikanti2022recomputation, sections 4 and 5.
    """
    parts = layer_kept(h)
    attention, dense, experts = (part.on_rank(h.tensor, sequence_parallel=h.habits.sequence_parallel) for part in parts)
    twice = (h.context > 1) * h.width_bytes * h.architecture.heads * value_width(h.architecture) / h.tensor
    unneeded = not_kept_bytes(h.architecture, h.learning.lora, width_bytes=h.width_bytes) / h.tensor
    attention = attention + twice - unneeded
    under_way = micro_batches_under_way(
        stage.index,
        pipeline=h.pipeline,
        virtual_pipeline_stages=h.virtual_pipeline_stages,
        micro_batches=h.micro_batches,
    )
    further = stage.last * h.numbers.further_layers
    frozen = minimum(maximum(h.learning.frozen_layers - stage.index * stage.layers, 0), stage.layers)
    live = under_way * (1 - frozen / stage.layers)
    sparse = stage.sparse_layers + (stage.sparse_layers > 0) * further
    plain = stage.dense_layers + (stage.sparse_layers == 0) * further
    selects = h.recomputation == "selective" and h.habits.selects_products
    if h.recomputation != "full" and not selects:
        return h.tokens * live * (plain * (attention + dense) + sparse * (attention + experts))
    inputs = h.width_bytes * h.architecture.width / (h.tensor if h.habits.sequence_parallel else 1)
    again = attention + maximum((plain > 0) * dense, (sparse > 0) * experts)
    kept = (plain + sparse) * inputs
    if selects:
        of_attention, of_dense, of_experts = (part.product_bytes / h.tensor for part in parts)
        kept = kept + plain * (of_attention + of_dense) + sparse * (of_attention + of_experts)
    return h.tokens * (live * kept + again)


def logits_bytes(h: Held) -> float:
    """Bytes of the logits and of what the loss makes of them, on the last stage.

    Equation: n V (1 + f) B / t, with n = tokens of a micro-batch, V = rows of the output table, f = further tokens
    that are predicted, t = tensor; B = W where the loss is fused with its gradient, W + 4 where one 32-bit copy turns
    into the gradient (Megatron), 12 where the copy, its softmax and its gradient stand side by side.
    """
    a = h.architecture
    outputs = output_rows(a) * (1 + a.multi_token_layers) if a.task_head is None else a.task_head.labels
    return h.tokens * outputs * h.habits.logit_bytes / h.tensor


def working_bytes(h: Held, stage: Stage, logits: float) -> float:
    """Bytes that live only while a layer's backward pass runs, beyond the logits that are gone by then.

    The gradients of the layer at work and of the output table, in the working precision, where they are added to sums
    of another (or are whole under zero-3); the gradients of its inner states; the input that tensor ranks gather.
    """
    attention, dense, experts = layer_kept(h)
    block = maximum((stage.dense_layers > 0) * dense.working_bytes, (stage.sparse_layers > 0) * experts.working_bytes)
    transient = h.tokens * maximum(block, attention.working_bytes) / h.tensor
    gathered = (h.tensor > 1) * h.habits.sequence_parallel * 2 * h.tokens * h.width_bytes * h.architecture.width
    gradients = 0.0
    if h.learning.lora is None and (h.habits.sums_apart or h.sharding == "zero-3"):
        gradients = stage.largest_layer + stage.last * output_matrices(h.architecture) / h.tensor
    return h.width_bytes * gradients + maximum(transient - logits, 0) + gathered


def rank_adapters(
    architecture: Architecture, learning: Learning, *, tensor: int, pipeline: int, expert: int
) -> tuple[float, float]:
    """Numbers of adapters on one accelerator: (beside all but the experts, beside the experts)."""
    if learning.lora is None:
        return 0.0, 0.0
    parts = adapter_parts(architecture, learning.lora)
    experts = parts["experts"] / (tensor * pipeline * expert)
    return (sum(parts.values()) - parts["experts"]) / (tensor * pipeline), experts


def rank_learned(
    architecture: Architecture,
    learning: Learning,
    held: tuple[float, float],
    *,
    tensor: int,
    adapters: tuple[float, float],
) -> tuple[float, float]:
    """Numbers that learn on one accelerator, of those it holds: at most all of them in a stage of a pipeline."""
    if learning.lora is not None:
        return adapters[0] + parameter_parts(architecture)["task_head"] / tensor, adapters[1]
    if not learning.frozen_layers:
        return held
    dense, experts = learned_numbers(architecture, learning.frozen_layers)
    return minimum(dense / tensor, held[0]), minimum(experts / tensor, held[1])


def state_bytes(
    *shards: tuple[float, float, float], gathered: float, width_bytes: int, gradient_bytes: int, sharding: str
) -> tuple[float, float, float]:
    """Bytes of weights, gradients and optimizer state.

    Args:
        shards: (numbers on the accelerator, those of them that learn, accelerators that hold copies of them), for
            each kind of weights.
        gathered: Numbers that zero-3 holds whole for the layers at work.
        width_bytes: Bytes of a weight at work [bytes].
        gradient_bytes: Bytes of a gradient until the step; zero-3 sums in the masters' place [bytes].
        sharding: As in a plan.

    Returns:
        Weights, gradients, and moments with the 32-bit masters that 16-bit weights need [bytes].
    """
    level = SHARDING_LEVEL[sharding]
    masters = 0 if width_bytes == THIRTY_TWO_BIT else 1
    optimizer_width = THIRTY_TWO_BIT * (MOMENTS + masters)
    weights = gradients = optimizer = 0.0
    for numbers, learned, copies in shards:
        weights = weights + width_bytes * (numbers / copies if level >= 3 else numbers)
        summed = width_bytes if level >= 3 else gradient_bytes
        gradients = gradients + summed * (learned / copies if level >= 2 else learned)
        optimizer = optimizer + optimizer_width * (learned / copies if level >= 1 else learned)
    if level >= 3:
        weights = weights + width_bytes * gathered
    return weights, gradients, optimizer
