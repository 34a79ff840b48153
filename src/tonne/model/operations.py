"""FLOP of torch's operators, from the shapes of their arguments. A multiply-add counts as two.

An operator is known by its qualified name ("aten::mm"), so that one table serves several versions of torch. Each
formula takes the arguments by their names in the operator's schema, with the result under "out".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Arguments = Mapping[str, Any]
FLOP_PER_MULTIPLY_ADD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """FLOP of one call: of its result, of gradients it computes ahead in the forward pass, and repeated inside it."""

    flop: int
    gradients: int = 0
    repeated: int = 0


Formula = Callable[[Arguments], Work]


def product(inner: str) -> Formula:
    """Any product of matrices: each element of the result sums over the last dimension of the argument `inner`."""
    return lambda a: Work(flop=FLOP_PER_MULTIPLY_ADD * size(a["out"]) * int(a[inner].size(-1)))


def size(tensor: Any) -> int:  # noqa: ANN401 - a tensor, or the tuple of results
    """Elements of a tensor, or of the first of several results."""
    return int((tensor[0] if isinstance(tensor, tuple | list) else tensor).numel())


def summed_product(a: Arguments) -> Work:
    """A batch of products, summed: addbmm."""
    return Work(flop=FLOP_PER_MULTIPLY_ADD * size(a["batch1"]) * int(a["batch2"].shape[-1]))


def inner_product(a: Arguments) -> Work:
    """Two vectors."""
    return Work(flop=FLOP_PER_MULTIPLY_ADD * size(a["self"]))


def listed_products(a: Arguments) -> Work:
    """Products of the matrices of two lists."""
    pairs = zip(a["self"], a["mat2"], strict=True)
    return Work(flop=sum(FLOP_PER_MULTIPLY_ADD * size(left) * int(right.shape[-1]) for left, right in pairs))


def grouped_product(a: Arguments) -> Work:
    """Groups of rows, columns or of the summed dimension; only with three dimensions on both sides is there a batch."""
    left, right = a["self"].shape, a["mat2"].shape
    batch = int(left[0]) if len(left) == len(right) == 3 else 1
    return Work(flop=FLOP_PER_MULTIPLY_ADD * batch * int(left[-2]) * int(left[-1]) * int(right[-1]))


def linear_backward(a: Arguments) -> Work:
    """Gradient of the input and of the weight, each as large as the forward product, where asked for."""
    grad = a["grad_output"] if "grad_output" in a else a["grad"]
    wanted = a["output_mask"] if "output_mask" in a else a["mask"]
    return Work(flop=FLOP_PER_MULTIPLY_ADD * size(grad) * int(a["self"].shape[-1]) * sum(map(bool, wanted[:2])))


def convolution(a: Arguments) -> Work:
    """Each output element sums over a filter's channels and positions; transposed, each input element spreads so."""
    seen = _first(a) if a.get("transposed", False) else a["out"]
    return Work(flop=_filtered(seen, a["weight"]))


def transposed_convolution(a: Arguments) -> Work:
    """Each input element meets one filter."""
    return Work(flop=_filtered(_first(a), a["weight"]))


def convolution_backward(a: Arguments) -> Work:
    """Gradient of the input and of the weight, each as large as the forward pass, where asked for."""
    seen = a["input"] if a["transposed"] else a["grad_output"]
    return Work(flop=_filtered(seen, a["weight"]) * sum(map(bool, a["output_mask"][:2])))


def _filtered(seen: Any, weight: Any) -> int:  # noqa: ANN401 - tensors
    """FLOP where each element seen meets one filter: a slice of the weight along its first dimension."""
    return FLOP_PER_MULTIPLY_ADD * size(seen) * (size(weight) // int(weight.shape[0]))


def _first(a: Arguments) -> Any:  # noqa: ANN401 - a tensor
    return next(iter(a.values()))


def time_convolution(a: Arguments) -> Work:
    """conv_tbc, whose weight is (positions, input channels, output channels)."""
    positions, channels, _ = a["weight"].shape
    return Work(flop=FLOP_PER_MULTIPLY_ADD * size(a["out"]) * int(positions) * int(channels))


def attention(a: Arguments) -> Work:
    """Scores and their products with the values, (batch, heads, length, width): the whole square, whatever the mask."""
    query, key, value = a["query"].shape, a["key"].shape, a["value"].shape
    rows = math.prod(int(n) for n in query[:-1])  # heads of queries: shared heads of keys meet each of them
    return Work(flop=FLOP_PER_MULTIPLY_ADD * rows * int(key[-2]) * (int(query[-1]) + int(value[-1])))


def attention_backward(a: Arguments) -> Work:
    """Gradients of queries, keys, values and scores; the kernel computes the scores a second time."""
    query = a["query"].shape
    rows = math.prod(int(n) for n in query[:-1])
    repeated = FLOP_PER_MULTIPLY_ADD * rows * int(a["key"].shape[-2]) * int(query[-1])
    return Work(flop=2 * attention(a).flop, repeated=repeated)


def rows_attention(a: Arguments) -> Work:
    """As `attention`, of (batch, length, heads, width), or of packed sequences (tokens, heads, width)."""
    query, value = a["query"].shape, a["value"].shape
    widths = int(query[-1]) + int(value[-1])
    return Work(flop=FLOP_PER_MULTIPLY_ADD * _pairs(a) * int(query[-2]) * widths)


def rows_attention_backward(a: Arguments) -> Work:
    """As `attention_backward`, of the same layouts."""
    query = a["query"].shape
    repeated = FLOP_PER_MULTIPLY_ADD * _pairs(a) * int(query[-2]) * int(query[-1])
    return Work(flop=2 * rows_attention(a).flop, repeated=repeated)


def _pairs(a: Arguments) -> int:
    """Query-key pairs of one head; of packed sequences whose lengths cannot be read, all are taken for the longest."""
    query, key = a["query"].shape, a["key"].shape
    starts = [a.get(name) for name in ("cum_seq_q", "cum_seq_k", "cu_seqlens_q", "cu_seqlens_k")]
    given = [s for s in starts if s is not None]
    if len(query) == 4 and not given:
        return int(query[0]) * int(query[1]) * int(key[1])
    lengths = [_lengths(s) for s in given]
    if len(lengths) == 2 and all(n is not None for n in lengths):
        return sum(q * k for q, k in zip(lengths[0] or (), lengths[1] or (), strict=True))
    longest = a.get("max_k") or a.get("max_seqlen_k") or key[-3]
    return math.prod(int(n) for n in query[:-2]) * int(longest)


def _lengths(starts: Any) -> list[int] | None:  # noqa: ANN401 - a tensor
    """Lengths between starts; None where the tensor holds no numbers."""
    if starts.device.type == "meta" or hasattr(starts, "fake_mode"):
        return None
    return [int(n) for n in starts.diff().tolist()]


def recurrent(a: Arguments) -> Work:
    """Every row of the input meets every matrix of its layer once; of a whole stack, of each layer and direction."""
    return Work(flop=FLOP_PER_MULTIPLY_ADD * _rows(a) * sum(size(w) for w in _matrices(a)))


def recurrent_backward(a: Arguments) -> Work:
    """Twice the forward pass; without the gradient of the input, or of the weights, where these are not asked for."""
    once = recurrent(a).flop
    wanted = a.get("output_mask", (True, True, True, True))
    first = _matrices(a)[:1] + (_matrices(a)[2:3] if a.get("bidirectional", False) and "weight" in a else [])
    unasked = 0 if wanted[0] else FLOP_PER_MULTIPLY_ADD * _rows(a) * sum(size(w) for w in first)
    return Work(flop=once * (1 + bool(wanted[3])) - unasked)


def _rows(a: Arguments) -> int:
    return math.prod(int(n) for n in a["input"].shape[:-1])


def _matrices(a: Arguments) -> list[Any]:
    """The matrices of a recurrent operator, biases left out."""
    weights = a.get("weight") or a.get("params")
    listed = list(weights) if weights is not None else [v for k, v in a.items() if re.fullmatch(r"weight\d", k)]
    return [w for w in listed if len(w.shape) == 2]


def multi_head_attention(a: Arguments) -> Work:
    """The fused inference path of nn.MultiheadAttention: four projections and the attention itself."""
    queries, keys, width = size(a["query"]), size(a["key"]), int(a["embed_dim"])
    square = queries * int(a["key"].shape[1])
    return Work(flop=FLOP_PER_MULTIPLY_ADD * (2 * queries * width + 2 * keys * width + 2 * square))


def transformer_layer(a: Arguments) -> Work:
    """The fused inference path of nn.TransformerEncoderLayer."""
    width = int(a["embed_dim"])
    matrices = sum(size(a[name]) for name in ("qkv_weight", "proj_weight", "ffn_weight_1", "ffn_weight_2"))
    per_sequence = (length * (matrices + 2 * length * width) for length in _sequences(a["src"]))
    return Work(flop=FLOP_PER_MULTIPLY_ADD * sum(per_sequence))


def _sequences(states: Any) -> list[int]:  # noqa: ANN401 - a tensor
    """Length of each sequence of a batch; where padding is masked, torch nests the true lengths."""
    if states.is_nested:
        return [int(length) for length, _ in states._nested_tensor_size().tolist()]
    return [int(states.shape[1])] * int(states.shape[0])


def bilinear(a: Arguments) -> Work:
    """Two vectors through a weight of three dimensions: each weight meets each pair of the batch once."""
    shapes = []
    for name, expanded in (("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")):
        shape = [int(n) for n in a[name].shape]
        for dimension in sorted(a[expanded]):
            shape.insert(dimension, 1)
        shapes.append(shape)
    return Work(flop=FLOP_PER_MULTIPLY_ADD * math.prod(max(sizes) for sizes in zip(*shapes, strict=True)))


def distances(a: Arguments) -> Work:
    """Euclidean distances of all pairs, as one product with two columns more."""
    return Work(flop=FLOP_PER_MULTIPLY_ADD * size(a["out"]) * (int(a["x1"].shape[-1]) + 2))


def head_and_loss(a: Arguments) -> Work:
    """The chunked linear_cross_entropy: logits, and the gradients that it computes ahead in the forward pass."""
    once = FLOP_PER_MULTIPLY_ADD * size(a["input"]) * int(a["linear_weight"].shape[0])
    ahead = a.get("compute_input_grad", False) + a.get("compute_linear_weight_grad", False)
    return Work(flop=once, gradients=once * ahead)


_BY_FORMULA: tuple[tuple[Formula, str], ...] = (
    (product("self"), "mm bmm mv linear mkldnn_linear _int_mm _scaled_mm _scaled_mm_v2 _weight_int8pack_mm"),
    (product("self"), "_weight_int4pack_mm _weight_int4pack_mm_for_cpu _weight_int4pack_mm_with_scales_and_zeros"),
    (product("mat1"), "addmm _addmm_activation _sparse_addmm"),
    (product("batch1"), "baddbmm"),
    (product("mat"), "addmv"),
    (product("inp"), "_dyn_quant_matmul_4bit"),
    (product("input"), "_mixed_dtypes_linear _sparse_semi_structured_linear"),
    (product("X"), "mkldnn::_linear_pointwise mkl::_mkl_linear quantized::linear quantized::linear_dynamic"),
    (product("X"), "quantized::linear_relu quantized::linear_relu_dynamic quantized::linear_dynamic_fp16"),
    (product("qx"), "onednn::qlinear_pointwise"),
    (product("qa"), "quantized::matmul"),
    (summed_product, "addbmm"),
    (inner_product, "dot vdot"),
    (listed_products, "_foreach_mm"),
    (bilinear, "_trilinear"),
    (distances, "_euclidean_dist"),
    (grouped_product, "_grouped_mm _scaled_grouped_mm _scaled_grouped_mm_v2"),
    (linear_backward, "linear_backward mkldnn_linear_backward matmul_backward"),
    (convolution, "convolution _convolution convolution_overrideable cudnn_convolution cudnn_convolution_relu"),
    (convolution, "cudnn_convolution_add_relu miopen_convolution miopen_convolution_relu miopen_depthwise_convolution"),
    (convolution, "miopen_convolution_add_relu mkldnn_convolution _mps_convolution _conv_depthwise2d conv_depthwise3d"),
    (convolution, "_slow_conv2d_forward slow_conv3d_forward slow_conv_dilated2d slow_conv_dilated3d"),
    (convolution, "_nnpack_spatial_convolution"),
    (transposed_convolution, "cudnn_convolution_transpose miopen_convolution_transpose _mps_convolution_transpose"),
    (transposed_convolution, "slow_conv_transpose2d slow_conv_transpose3d"),
    (convolution_backward, "convolution_backward convolution_backward_overrideable"),
    (time_convolution, "conv_tbc"),
    (attention, "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu"),
    (attention, "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"),
    (attention, "_scaled_dot_product_fused_attention_overrideable _scaled_dot_product_attention_math_for_mps"),
    (attention, "higher_order::flex_attention"),
    (attention_backward, "_scaled_dot_product_flash_attention_backward higher_order::flex_attention_backward"),
    (attention_backward, "_scaled_dot_product_flash_attention_for_cpu_backward"),
    (attention_backward, "_scaled_dot_product_efficient_attention_backward"),
    (attention_backward, "_scaled_dot_product_cudnn_attention_backward"),
    (attention_backward, "_scaled_dot_product_fused_attention_overrideable_backward"),
    (rows_attention, "_flash_attention_forward _efficient_attention_forward"),
    (rows_attention_backward, "_flash_attention_backward _efficient_attention_backward"),
    (recurrent, "mkldnn_rnn_layer _cudnn_rnn miopen_rnn _lstm_mps"),
    (recurrent_backward, "mkldnn_rnn_layer_backward _cudnn_rnn_backward miopen_rnn_backward lstm_mps_backward"),
    (multi_head_attention, "_native_multi_head_attention _triton_multi_head_attention"),
    (transformer_layer, "_transformer_encoder_layer_fwd"),
    (head_and_loss, "torch_nn::_linear_cross_entropy_batch_chunked"),
    (head_and_loss, "torch_nn::_linear_cross_entropy_batch_chunked_no_reduction"),
)
FORMULAS: dict[str, Formula] = {
    name if "::" in name else f"aten::{name}": formula for formula, names in _BY_FORMULA for name in names.split()
}

# Of torch's own operators, those whose names speak of matrices and have no formula above are named; the others work
# element by element, sum, move or make tensors. Of anybody else's operators nothing is known: all are named.
_OWN = {"aten", "prims", "prim"}
_NO_WORK = re.compile(r"_?c10d\w*|symm_mem|profiler|debug\w*|export|rngprims|_dtensor|inductor_prims|quantization")
_MATRIX_WORDS = re.compile(
    r"(?:^|_)(?:sp|s|ssp|hsp)?(?:add|badd|chain_|multi_)?b?(?:mm|mv|matmul|dot)(?:_|$)"
    r"|(?:^|_)(?:conv|convolution)(?:_|\d|$)|(?<!convert_)conv\dd"
    r"|linear(?:_|$)|attention|attn|(?:^|_)(?:rnn|lstm|gru)(?:_|$)|fft|linalg|(?<!re)solve|cholesky|svd|eigh?(?:_|$)"
    r"|(?:^|_)(?:inverse|pinverse|det|slogdet|logdet|lu|cdist|pdist|kron|einsum|tensordot|trilinear|bilinear)(?:_|$)"
    r"|euclidean|transformer|multi_head|matrix_(?:exp|power)|geqrf|or[gm]qr|(?:^|_)qr(?:_|$)|quantized_\w+_cell"
)
_ELEMENTWISE = re.compile(
    r"upsample|_thnn_fused|_thnn_differentiable|slice_inverse|fftfreq|fftshift|cufft|compute_linear_combination"
    r"|linalg_(?:vector_norm|diagonal|cross|check_errors|vander|_powsum)|lu_unpack|rnn_flatten|linear_prepack(?!ed)"
    r"|grid_sampler|_fused_sdp_choice|_use_cudnn|_use_miopen|reorder"
)


def may_multiply(name: str) -> bool:
    """Whether an operator without a formula may do work that this count is about."""
    space, _, operator = name.partition("::")
    if space not in _OWN:
        return _NO_WORK.fullmatch(space) is None
    return _MATRIX_WORDS.search(operator) is not None and _ELEMENTWISE.search(operator) is None
