"""Work of using a model: FLOP of prefill and of each generated token, and the numbers that a decode step reads.

The first output token comes with the prefill; each further one takes a decode step, and the last is not processed. A
decode step's ``context`` is the number of tokens that the new one attends to, itself included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.count.flops import FLOP_PER_MULTIPLY_ADD, attended_positions, forward_flop_parts
from tonne.count.layers import (
    attention_matrices,
    expert_layers,
    expert_matrices,
    feed_forward_matrices,
    key_value_matrices,
    router_matrices,
    shared_expert_matrices,
    stack_shape,
    stacks,
)
from tonne.count.memory import cached_numbers
from tonne.count.parameters import output_rows, output_width, parameter_parts, projection_matrices
from tonne.count.sequence import Sequence
from tonne.estimate import Number

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture

NOT_SERVED = "multi_token"  # layers that guess further tokens are left out of serving
START_TOKENS = 1  # an encoder-decoder's target begins with one token that nobody wrote
SIXTEEN_BIT_BYTES = 2.0
# What a weight takes with its scales: nvfp4 has an 8-bit scale for 16 weights, int4 a 16-bit scale and a 4-bit zero
# point for 128; 8-bit formats have one for a channel or a block, which is next to nothing.
BYTES_PER_WEIGHT = {
    "fp32": 4.0,
    "tf32": 4.0,
    "bf16": SIXTEEN_BIT_BYTES,
    "fp16": SIXTEEN_BIT_BYTES,
    "fp8": 1.0,
    "int8": 1.0,
    "fp4": 0.5 + 1.0 / 16,
    "int4": 0.5 + 2.5 / 128,
}


def answers_in_one_pass(architecture: Architecture) -> bool:
    """Whether a request has no output tokens: an encoder's, or one for labels."""
    return architecture.kind == "encoder" or architecture.task_head is not None


def prefill_flop(architecture: Architecture, prompt_tokens: int) -> int:
    """FLOP of reading one prompt, up to the first output token.

    Args:
        architecture: Shape of the model.
        prompt_tokens: Tokens of the prompt; of the source, for an encoder-decoder [token].

    Returns:
        FLOP [FLOP], with the true mask, and logits (or a head's labels) at the last position only. An encoder reads
        its input once, and that is all of it; an encoder-decoder reads its source, keeps the keys and values of it,
        and its start token. With a head for labels its decoder reads as many tokens as its encoder.
    """
    a = architecture
    labelled = int(a.task_head is not None)
    if a.kind == "encoder":
        return _flop(a, Sequence(encoder_length=prompt_tokens, labelled=labelled, pooled=int(a.pooler)))
    both = a.kind == "encoder-decoder"
    source, target = (prompt_tokens, prompt_tokens if labelled else START_TOKENS) if both else (0, prompt_tokens)
    answer = Sequence(encoder_length=source, decoder_length=target, predicted=1 - labelled, labelled=labelled)
    return _flop(a, answer)


def decode_flop(architecture: Architecture, context: int, source_tokens: int = 0) -> int:
    """FLOP of one further output token with a cache.

    Equation: C = 2 (M + L H d 2 T), with M = matrices that one token meets, L = layers, H = heads, d = head_width,
    T = context. With latent attention the cache holds latent vectors, and queries and values are brought to them:
    C = 2 (M + L H T (2 c + r)), with c = kv_rank, r = rotary_width. A window bounds T in its layers; a
    cross-attention adds 2 L H d S, with S = source_tokens, and its keys and values are not computed again.

    Args:
        architecture: Shape of a decoder or an encoder-decoder.
        context: Tokens that the new one attends to, itself included [token].
        source_tokens: Tokens of an encoder-decoder's source [token].

    Returns:
        FLOP [FLOP].

    Source: tonne
    """
    return decode_run_flop(architecture, context - 1, 1, source_tokens)


def decode_run_flop(architecture: Architecture, before: int, steps: int, source_tokens: int = 0) -> int:
    """FLOP of ``steps`` decode steps after ``before`` tokens have been cached [FLOP]."""
    return sum(decode_run_parts(architecture, before, steps, source_tokens).values())


def decode_run_parts(architecture: Architecture, before: int, steps: int, source_tokens: int = 0) -> dict[str, int]:
    """The same by operation: SCORES meet the cache, the others the weights [FLOP]."""
    a = architecture
    long, short = (_parts(a, before + steps, source_tokens), _parts(a, before, source_tokens))
    parts = {part: long[part] - short[part] for part in long}
    latent = a.latent_attention
    if latent is not None:
        pairs = _pairs(a, before + steps) - _pairs(a, before)
        parts["attention_scores"] = FLOP_PER_MULTIPLY_ADD * pairs * a.heads * (2 * latent.kv_rank + latent.rotary_width)
    return parts | {"head": steps * forward_flop_parts(a, Sequence(predicted=1))["head"]}


def generation_flop(architecture: Architecture, prompt_tokens: int, output_tokens: int, *, cache: bool = True) -> int:
    """FLOP of one request: prompt in, output out.

    Args:
        architecture: Shape of the model.
        prompt_tokens: Tokens of the prompt, or of the source [token].
        output_tokens: Tokens generated; none where one pass is the answer [token].
        cache: Keys and values are kept. Without, every step repeats the whole sequence (an encoder-decoder's decoder;
            its encoder runs once all the same).

    Returns:
        FLOP [FLOP].
    """
    a = architecture
    first = prefill_flop(a, prompt_tokens)
    if answers_in_one_pass(a) or output_tokens <= 1:
        return first
    both = a.kind == "encoder-decoder"
    before, source = (START_TOKENS, prompt_tokens) if both else (prompt_tokens, 0)
    if cache:
        return first + decode_run_flop(a, before, output_tokens - 1, source)
    repeated = sum(prefill_like_flop(a, before + step, source) for step in range(1, output_tokens))
    return first + repeated


def prefill_like_flop(architecture: Architecture, length: int, source_tokens: int = 0) -> int:
    """FLOP of passing the whole of ``length`` tokens through the decoder, for the logits of the last one [FLOP]."""
    a = architecture
    whole = _flop(a, Sequence(encoder_length=source_tokens, decoder_length=length, predicted=1))
    return whole - _encoder_flop(a, source_tokens)


def distinct_experts(count: int, per_token: int, tokens: Number) -> Number:
    """Experts of one layer that a batch of tokens visits, expected.

    Equation: n_B = n (1 - (1 - k/n)^B), with n = count, k = per_token, B = tokens.

    Args:
        count: Experts of a layer, without the shared ones.
        per_token: Experts that one token visits.
        tokens: Tokens of the batch.

    Returns:
        Experts, from per_token for one token towards count.

    Valid for: a router that treats all experts alike and tokens that choose independently; real ones visit fewer.
    Source: tonne
    """
    return count * (1.0 - (1.0 - per_token / count) ** tokens)


def decode_weights_bytes(architecture: Architecture, tokens: Number, weight_precision: str = "bf16") -> Number:
    """Bytes of weights that one decode step reads for a batch, one token each.

    Args:
        architecture: Shape of a decoder or an encoder-decoder (whose encoder rests while decoding).
        tokens: Sequences of the batch; they share what is read, but for the experts that only some visit.
        weight_precision: A key of BYTES_PER_WEIGHT. Below 16 bits the output table stays at 16.

    Returns:
        Bytes [bytes]. Norms, biases and the rows of the input table are not included (below 0.1 %).
    """
    a = stack_shape(architecture, decoder=True)
    layers, cross = stacks(a)[-1]
    attention = (1 + cross) * attention_matrices(a) - cross * key_value_matrices(a)
    sparse = expert_layers(a, layers)
    numbers: Number = layers * attention + (layers - sparse) * feed_forward_matrices(a)
    if a.experts is not None:
        visited = distinct_experts(a.experts.count, a.experts.per_token, tokens) * expert_matrices(a, a.experts)
        always = shared_expert_matrices(a, a.experts) + router_matrices(a, a.experts)
        numbers = numbers + sparse * (visited + always)
    table = output_rows(a) * output_width(a) + projection_matrices(a)
    return numbers * BYTES_PER_WEIGHT[weight_precision] + table * table_bytes(weight_precision)


def served_weights_bytes(architecture: Architecture, weight_precision: str = "bf16") -> float:
    """Bytes of all weights of a served model; layers that guess further tokens are left out [bytes]."""
    parts = parameter_parts(architecture)
    tables = parts["embedding"] + parts["positions"] + parts["head"] + parts["task_head"]
    rest = sum(parts.values()) - tables - parts[NOT_SERVED]
    return rest * BYTES_PER_WEIGHT[weight_precision] + tables * table_bytes(weight_precision)


def cache_bytes(
    architecture: Architecture, context: int, source_tokens: int | None = None, cache_precision: str = "bf16"
) -> float:
    """Bytes of keys and values (or latent vectors) kept of one sequence, all of which a decode step reads.

    Args:
        architecture: Shape of the model; an encoder keeps none.
        context: Tokens in the decoder's cache [token].
        source_tokens: Tokens of an encoder-decoder's source [token].
        cache_precision: A key of BYTES_PER_WEIGHT.

    Returns:
        Bytes [bytes]. Heads that share keys share the reading; windows bound it in their layers.
    """
    if architecture.kind == "encoder":
        return 0.0
    return BYTES_PER_WEIGHT[cache_precision] * cached_numbers(architecture, context, source_tokens)


def cache_bytes_per_token(architecture: Architecture, cache_precision: str = "bf16") -> float:
    """Bytes by which one token's keys and values fill the cache, before any window is full [bytes]."""
    return cache_bytes(architecture, 1, 0, cache_precision)


def table_bytes(weight_precision: str) -> float:
    """Bytes of one number of the token tables, which quantised checkpoints leave at 16 bits."""
    return max(BYTES_PER_WEIGHT[weight_precision], SIXTEEN_BIT_BYTES)


def _parts(a: Architecture, length: int, source_tokens: int) -> dict[str, int]:
    """FLOP by part of a pass over the decoder's ``length`` tokens, without logits."""
    parts = forward_flop_parts(a, Sequence(encoder_length=source_tokens, decoder_length=length))
    return {part: flop for part, flop in parts.items() if part not in {NOT_SERVED, "head", "pooler"}}


def _flop(a: Architecture, sequence: Sequence) -> int:
    return sum(flop for part, flop in forward_flop_parts(a, sequence).items() if part != NOT_SERVED)


def _encoder_flop(a: Architecture, source_tokens: int) -> int:
    """FLOP of the encoder alone: a pass of nothing through the decoder, less the keys and values of the source."""
    if a.kind != "encoder-decoder":
        return 0
    layers, _ = stacks(a)[-1]
    keys_values = FLOP_PER_MULTIPLY_ADD * layers * source_tokens * key_value_matrices(a)
    return _flop(a, Sequence(encoder_length=source_tokens)) - keys_values


def _pairs(a: Architecture, length: int) -> int:
    """Query-key pairs of one head in all layers, under the decoder's mask."""
    layers, _ = stacks(a)[-1]
    return attended_positions(a, Sequence(decoder_length=length), layers, decoder=True, square=False)
