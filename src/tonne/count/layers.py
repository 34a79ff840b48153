"""Numbers in one layer's matrices, biases and norms. Widths and counts may be arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tonne.describe.architecture import Architecture, Experts, Linear

PLAIN_MATRICES = 2  # up, down
GATED_MATRICES = 3  # gate, up, down


def stacks(architecture: Architecture) -> tuple[tuple[int, bool], ...]:
    """(layers, has cross-attention) of each stack, the encoder first."""
    a = architecture
    if a.kind == "encoder-decoder":
        return ((a.encoder_layers, False), (a.decoder_layers, True))  # type: ignore[return-value]  # by construction
    return ((a.layers, False),)  # type: ignore[return-value]  # by construction


def stack_shape(architecture: Architecture, *, decoder: bool) -> Architecture:
    """The architecture as one stack sees it: an encoder-decoder's decoder may have heads and widths of its own."""
    a = architecture
    if not decoder or not unequal_stacks(a):
        return a
    heads = a.heads if a.decoder_heads is None else a.decoder_heads
    inner = a.feed_forward_width if a.decoder_feed_forward_width is None else a.decoder_feed_forward_width
    own = {
        "heads": heads,
        "kv_heads": a.kv_heads * heads // a.heads,
        "head_width": a.heads * a.head_width // heads,
        "feed_forward_width": inner,
        "experts": a.experts if a.decoder_experts is None else a.decoder_experts,
        "decoder_experts": None,
        "decoder_heads": None,
        "decoder_feed_forward_width": None,
    }
    return a.model_copy(update=own)


def unequal_stacks(architecture: Architecture) -> bool:
    """Whether the layers of the decoder differ from those of the encoder."""
    a = architecture
    own = (a.decoder_heads, a.decoder_feed_forward_width, a.decoder_experts)
    return has_cross_attention(a) and any(value is not None for value in own)


def mean_over_layers(architecture: Architecture, number: Callable[[Architecture], float]) -> float:
    """A number of one layer's shape, the mean over all layers of all stacks."""
    a = architecture
    if not unequal_stacks(a):
        return number(a)
    layers = sum(count for count, _ in stacks(a))
    return sum(count * number(stack_shape(a, decoder=cross)) for count, cross in stacks(a)) / layers


def stored_layers(architecture: Architecture, layers: int) -> int:
    """How many of a stack's layers have weights of their own."""
    a = architecture
    if not a.shared_layers:
        return layers
    return 1 if a.distinct_layers is None else a.distinct_layers


def expert_layers(architecture: Architecture, layers: int) -> int:
    """How many of a stack's layers have experts."""
    experts = architecture.experts
    if experts is None:
        return 0
    first, every = experts.dense_layers, experts.every
    regular = (index for index in set(experts.dense_at) if index >= first and not (index - first + 1) % every)
    return max(layers - first, 0) // every - sum(index < layers for index in regular)


def has_bias(architecture: Architecture, linear: Linear) -> bool:
    """Whether this linear of the layers has a bias."""
    bias = architecture.bias
    return bias if isinstance(bias, bool) else linear in bias


def norm_numbers(architecture: Architecture, width: int) -> int:
    """Learned numbers of one norm over ``width`` features."""
    return (architecture.norm_weight + architecture.norm_bias) * width


def attention_matrices(architecture: Architecture) -> int:
    """Numbers in the projections of one attention: queries, keys, values, output.

    Equation: W d (2 H + 2 K), with W = width, d = head_width, H = heads, K = kv_heads. With latent attention
    W (c + r) + c H (n + v) + H v W for keys, values and output, and W q + q H (n + r) for the queries (W H (n + r)
    where these are not compressed), with c = kv_rank, q = query_rank, r, n, v = rotary, plain and value width.
    """
    a, latent = architecture, architecture.latent_attention
    if latent is None:
        return a.width * a.head_width * 2 * (a.heads + a.kv_heads)
    query_width = a.heads * (latent.plain_width + latent.rotary_width)
    keys_values = key_value_matrices(a)
    output = a.heads * latent.value_width * a.width
    if latent.query_rank is None:
        return a.width * query_width + keys_values + output
    return latent.query_rank * (a.width + query_width) + keys_values + output


def key_value_matrices(architecture: Architecture) -> int:
    """Of these, the numbers in the projections of keys and values."""
    a, latent = architecture, architecture.latent_attention
    if latent is None:
        return 2 * a.width * a.head_width * a.kv_heads
    return a.width * (latent.kv_rank + latent.rotary_width) + latent.kv_rank * a.heads * (
        latent.plain_width + latent.value_width
    )


def score_width(architecture: Architecture) -> int:
    """Products that a head sums up for one score.

    A table of relative positions adds up to two products of queries or keys with it (DeBERTa), a projection of relative
    positions one (Transformer-XL). Projecting the tables themselves is done once a batch and is not counted.
    """
    a = architecture
    return key_width(a) * (1 + a.relative_projection + table_products(a))


def table_products(architecture: Architecture) -> int:
    """Products with a table of relative positions in one score."""
    return architecture.relative_products * (architecture.relative_rows > 0)


def convolution_matrix(architecture: Architecture) -> int:
    """Numbers in the kernel of the convolution after the first layer."""
    a = architecture
    return a.convolution_width * a.width * a.width // a.convolution_groups


def convolution_numbers(architecture: Architecture) -> int:
    """Learned numbers of that convolution and of its norm."""
    a = architecture
    return convolution_matrix(a) + (a.convolution_width > 0) * (a.width + norm_numbers(a, a.width))


def key_width(architecture: Architecture) -> int:
    """Width of a head's queries and keys."""
    latent = architecture.latent_attention
    return architecture.head_width if latent is None else latent.plain_width + latent.rotary_width


def value_width(architecture: Architecture) -> int:
    """Width of a head's values."""
    latent = architecture.latent_attention
    return architecture.head_width if latent is None else latent.value_width


def has_cross_attention(architecture: Architecture) -> bool:
    """Whether the decoder attends to an encoder."""
    return architecture.kind == "encoder-decoder"


def attention_biases(architecture: Architecture) -> int:
    """Numbers in the biases of one attention, and its sinks.

    With latent attention the biases of queries and keys are those of the projections down to the latent vectors.
    """
    a, latent = architecture, architecture.latent_attention
    if latent is not None:
        keys = has_bias(a, "key") * (latent.kv_rank + latent.rotary_width)
        return has_bias(a, "query") * (latent.query_rank or 0) + keys + has_bias(a, "output") * a.width
    biases = has_bias(a, "query") * a.heads * a.head_width
    biases = biases + (has_bias(a, "key") + has_bias(a, "value")) * a.kv_heads * a.head_width
    return biases + has_bias(a, "output") * a.width + a.attention_sinks * a.heads


def attention_norms(architecture: Architecture) -> int:
    """Numbers in the norms inside one attention: of queries and keys, or of the latent vectors."""
    a, latent = architecture, architecture.latent_attention
    if latent is not None:
        return norm_numbers(a, latent.kv_rank + (0 if latent.query_rank is None else latent.query_rank))
    if a.query_key_norm == "head":
        return 2 * norm_numbers(a, a.head_width)
    if a.query_key_norm == "each-head":
        return a.norm_weight * (a.heads + a.kv_heads) * a.head_width
    if a.query_key_norm == "full":
        return norm_numbers(a, a.heads * a.head_width) + norm_numbers(a, a.kv_heads * a.head_width)
    return 0


def feed_forward_matrices(architecture: Architecture) -> int:
    """Numbers in the matrices of one dense feed-forward block: 2 W F, or 3 W F when gated."""
    return _matrices(architecture.feed_forward) * architecture.width * architecture.feed_forward_width


def feed_forward_biases(architecture: Architecture) -> int:
    """Numbers in the biases of one dense feed-forward block, and in its activation."""
    a = architecture
    inner = (_matrices(a.feed_forward) - 1) * a.feed_forward_width
    return has_bias(a, "feed_forward") * (inner + a.width) + a.activation_weights


def expert_matrices(architecture: Architecture, experts: Experts) -> int:
    """Numbers in the matrices of one expert."""
    return _matrices(experts.feed_forward or architecture.feed_forward) * architecture.width * experts.width


def expert_biases(architecture: Architecture, experts: Experts) -> int:
    """Numbers in the biases of one expert."""
    inner = (_matrices(experts.feed_forward or architecture.feed_forward) - 1) * experts.width
    return experts.bias * (inner + architecture.width) + architecture.activation_weights


def shared_expert_matrices(architecture: Architecture, experts: Experts) -> int:
    """Numbers in the matrices of all shared experts of a layer."""
    matrices = _matrices(experts.feed_forward or architecture.feed_forward)
    return experts.shared * matrices * architecture.width * shared_expert_width(experts)


def shared_expert_biases(architecture: Architecture, experts: Experts) -> int:
    """Numbers in the biases of all shared experts of a layer."""
    bias = experts.bias if experts.shared_bias is None else experts.shared_bias
    inner = (_matrices(experts.feed_forward or architecture.feed_forward) - 1) * shared_expert_width(experts)
    return experts.shared * (bias * (inner + architecture.width) + architecture.activation_weights)


def shared_expert_width(experts: Experts) -> int:
    """Inner width of one shared expert."""
    return experts.width if experts.shared_width is None else experts.shared_width


def router_matrices(architecture: Architecture, experts: Experts) -> int:
    """Numbers in the matrices of one router: a row an expert, and one for the shared experts' gate."""
    return (experts.count + experts.shared_gate) * architecture.width


def router_numbers(architecture: Architecture, experts: Experts) -> int:
    """Numbers in one router: its matrices, and a bias or a correction an expert where it has them."""
    return router_matrices(architecture, experts) + experts.count * (experts.router_bias + experts.router_correction)


def layer_norms(architecture: Architecture, *, cross: bool) -> int:
    """Numbers in the norms of one layer, without those inside its attention."""
    a = architecture
    norms = 1 if a.shared_block_norm else (2 + cross) * (2 if a.norm_position == "both" else 1)
    return norms * norm_numbers(a, a.width)


def task_head_matrices(architecture: Architecture) -> int:
    """Numbers in the matrices of the head for labels: a dense layer where it has one, and a row a label."""
    a, head = architecture, architecture.task_head
    if head is None:
        return 0
    narrow = a.output_projection and a.embedding_width is not None  # OPT-350M's states leave as wide as its tokens
    width = a.embedding_width if narrow else a.width
    return width * (head.labels + head.dense * width)  # type: ignore[operator]  # narrow says that it is a number


def task_head_numbers(architecture: Architecture) -> int:
    """Learned numbers of the head for labels."""
    a, head = architecture, architecture.task_head
    if head is None:
        return 0
    inner = head.dense * head.dense_bias * a.width + head.norm * norm_numbers(a, a.width)
    return task_head_matrices(a) + inner + head.bias * head.labels


def _matrices(feed_forward: str) -> int:
    return GATED_MATRICES if feed_forward == "gated" else PLAIN_MATRICES
