"""An Architecture -> the fields of a config.json, in the words of each model type of transformers.

A writer puts down what its type has words for. Whether that says all is seen by reading it back: see ``families``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture

Fields = dict[str, Any]

GELUS: Mapping[str, str] = MappingProxyType({"none": "gelu", "tanh": "gelu_new", "sigmoid": "quick_gelu"})
UNBOUNDED = 1 << 20  # rotary positions have no last one, but transformers asks for a number [token]


def gpt2(a: Architecture) -> Fields:
    """GPT-2's."""
    return {
        "vocab_size": a.vocabulary,
        "n_positions": a.max_positions,
        "n_embd": a.width,
        "n_layer": a.layers,
        "n_head": a.heads,
        "n_inner": a.feed_forward_width,
        "activation_function": activation(a),
        "layer_norm_epsilon": a.norm_epsilon,
        "scale_attn_weights": a.attention_scale is None,
        "scale_attn_by_inverse_layer_idx": a.attention_scale_by_layer,
        "tie_word_embeddings": a.tied_embeddings,
        **_no_special_tokens("bos_token_id", "eos_token_id"),
    }


def bert(a: Architecture) -> Fields:
    """BERT's."""
    return {
        "vocab_size": a.vocabulary,
        "hidden_size": a.width,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "intermediate_size": a.feed_forward_width,
        "hidden_act": activation(a),
        "max_position_embeddings": a.max_positions,
        "type_vocab_size": a.token_types,
        "layer_norm_eps": a.norm_epsilon,
        "is_decoder": a.kind == "decoder",
        "tie_word_embeddings": a.tied_embeddings,
        **_no_special_tokens("pad_token_id"),
    }


def t5(a: Architecture) -> Fields:
    """T5's, of all its versions: the newer ones do not scale the states before the output table."""
    word = "gelu" if a.activation == "gelu" else activation(a)
    return {
        "vocab_size": a.vocabulary,
        "d_model": a.width,
        "d_kv": a.head_width,
        "d_ff": a.feed_forward_width,
        "num_layers": a.encoder_layers if a.kind == "encoder-decoder" else a.layers,
        "num_decoder_layers": a.decoder_layers,
        "num_heads": a.heads,
        "relative_attention_num_buckets": a.relative_buckets,
        "relative_attention_max_distance": a.relative_max_distance,
        "layer_norm_epsilon": a.norm_epsilon,
        "feed_forward_proj": f"gated-{word}" if a.feed_forward == "gated" else word,
        "dense_act_fn": activation(a),
        "is_gated_act": a.feed_forward == "gated",
        "scale_decoder_outputs": not math.isclose(a.output_scale, 1.0),
        "is_encoder_decoder": a.kind == "encoder-decoder",
        "tie_word_embeddings": a.tied_embeddings,
        **_no_special_tokens("pad_token_id", "eos_token_id"),
    }


def bart(a: Architecture) -> Fields:
    """BART's."""
    decoder_width = a.feed_forward_width if a.decoder_feed_forward_width is None else a.decoder_feed_forward_width
    return {
        "vocab_size": a.vocabulary,
        "d_model": a.width,
        "encoder_layers": a.encoder_layers,
        "decoder_layers": a.decoder_layers,
        "encoder_attention_heads": a.heads,
        "decoder_attention_heads": a.heads if a.decoder_heads is None else a.decoder_heads,
        "encoder_ffn_dim": a.feed_forward_width,
        "decoder_ffn_dim": decoder_width,
        "activation_function": activation(a),
        "max_position_embeddings": a.max_positions,
        "scale_embedding": not math.isclose(a.embedding_scale, 1.0),
        "tie_word_embeddings": a.tied_embeddings,
        "forced_eos_token_id": None,
        **_no_special_tokens("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"),
    }


def llama(a: Architecture) -> Fields:
    """LLaMA's."""
    with_bias = _biases(a)
    return {
        **_rotary(a),
        "attention_bias": "output" in with_bias,
        "mlp_bias": "feed_forward" in with_bias,
    }


def mistral(a: Architecture) -> Fields:
    """Mistral's: as LLaMA's, and every layer may have a window."""
    return {**_rotary(a), "sliding_window": a.attention_window}


def qwen2(a: Architecture) -> Fields:
    """Qwen 2's: as LLaMA's, and some layers may have a window."""
    full = full_layers(a)
    kinds = ["full_attention" if layer in full else "sliding_attention" for layer in range(a.layers or 0)]
    windows = {"max_window_layers": 0, "layer_types": kinds} if a.attention_window else {}
    return {
        **_rotary(a),
        "use_sliding_window": a.attention_window is not None,
        "sliding_window": a.attention_window,
        **windows,
    }


def full_layers(a: Architecture) -> set[int]:
    """The layers, counted from 0, that see more than a window."""
    layers = range(a.layers or 0)
    if a.attention_window is None:
        return set(layers)
    if a.full_attention_layers is not None:
        return set(a.full_attention_layers) & set(layers)
    if a.window_every is None:
        return set()
    first = a.window_every - 1 if a.window_first_full is None else a.window_first_full
    return set(range(first, len(layers), a.window_every))


def activation(a: Architecture) -> str:
    """The activation's name in transformers."""
    return GELUS[a.gelu_approximation] if a.activation == "gelu" else a.activation


def _rotary(a: Architecture) -> Fields:
    """What decoders with rotary positions share. Base and scaling stand under the names that older readers know too."""
    return {
        "vocab_size": a.vocabulary,
        "hidden_size": a.width,
        "intermediate_size": a.feed_forward_width,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "num_key_value_heads": a.kv_heads,
        "head_dim": a.head_width,
        "hidden_act": activation(a),
        "max_position_embeddings": a.max_positions or UNBOUNDED,
        "rms_norm_eps": a.norm_epsilon,
        "rope_theta": a.rotary_base,
        **_scaling(a),
        "tie_word_embeddings": a.tied_embeddings,
        **_no_special_tokens("bos_token_id", "eos_token_id", "pad_token_id"),
    }


def _scaling(a: Architecture) -> Fields:
    scaling = a.rotary_scaling
    if scaling is None:
        return {}
    fields: Fields = {"rope_type": scaling.kind, "rope_theta": a.rotary_base, "factor": scaling.factor}
    if scaling.kind in ("llama3", "yarn"):
        fields["original_max_position_embeddings"] = scaling.original_positions
    if scaling.kind == "llama3":
        fields |= {
            "low_freq_factor": scaling.low_frequency_factor,
            "high_freq_factor": scaling.high_frequency_factor,
        }
    if scaling.kind == "yarn":
        fields |= {
            "beta_fast": scaling.fast_rotations,
            "beta_slow": scaling.slow_rotations,
            "truncate": scaling.truncated,
            **({} if scaling.magnitude is None else {"attention_factor": scaling.magnitude}),
        }
    return {"rope_scaling": fields}


def _biases(a: Architecture) -> tuple[str, ...]:
    if isinstance(a.bias, bool):
        return a.LINEARS if a.bias else ()
    return a.bias


def _no_special_tokens(*names: str) -> Fields:
    """Null where transformers would take the number of its best-known model; a tokenizer brings its own."""
    return dict.fromkeys(names)


WRITERS: Mapping[str, Callable[[Architecture], Fields]] = MappingProxyType(
    {"gpt2": gpt2, "bert": bert, "t5": t5, "bart": bart, "llama": llama, "mistral": mistral, "qwen2": qwen2}
)  # a model is written as the first of these that has words for all of it
