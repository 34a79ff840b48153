"""Reader of config.json: Switch Transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tonne.describe.huggingface.experts_parts import places_of

if TYPE_CHECKING:
    from tonne.describe.huggingface.config import Config

UNTIED_TABLES = 3  # a shared one that nothing reads, the encoder's and the decoder's
ENCODER_TABLES = 2


def switch_transformers(config: Config) -> dict[str, Any]:
    """Switch Transformer: as T5, with experts in some layers of either stack, of which a token visits one."""
    head, layers = config.head_among("seq2seq", "base", "encoder"), config.layers("num_layers", "num_hidden_layers")
    tied = config.flag("tie_word_embeddings")
    fields = {
        "width": config.size("d_model", "hidden_size"),
        "heads": config.size("num_heads", "num_attention_heads"),
        "head_width": config.size("d_kv"),
        "feed_forward_width": config.size("d_ff"),
        "feed_forward": "plain",
        "activation": config.activation("dense_act_fn"),
        "vocabulary": config.size("vocab_size"),
        "positions": "relative",
        "relative_buckets": config.size("relative_attention_num_buckets"),
        "norm": "rms",
        "norm_position": "pre",
        "bias": False,
        "tied_embeddings": tied or head != "seq2seq",
        "token_tables": 1 if tied else ENCODER_TABLES if head == "encoder" else UNTIED_TABLES,
    }
    experts = _experts(config, layers, config.number("num_sparse_encoder_layers"))
    if head == "encoder":
        return fields | {"kind": "encoder", "layers": layers, "experts": experts}
    same = config.value("num_decoder_layers") is None
    decoder_layers = layers if same else config.layers("num_decoder_layers")
    decoder_experts = _experts(config, decoder_layers, config.number("num_sparse_decoder_layers"))
    return fields | {
        "kind": "encoder-decoder",
        "encoder_layers": layers,
        "decoder_layers": decoder_layers,
        "experts": experts,
        "decoder_experts": None if decoder_experts == experts else decoder_experts,
    }


def _experts(config: Config, layers: int, sparse: int) -> dict[str, Any]:
    """The experts of one stack: as transformers has it, of the layers 1, 1 + step, ... or, of step 1, all."""
    step = layers // sparse if sparse else layers
    places = places_of(layers, lambda layer: step == 1 or (step > 1 and layer % step == 1))
    return {
        "count": config.size("num_experts"),
        "per_token": 1,
        "width": config.size("d_ff"),
        "router_bias": config.flag("router_bias"),
        **({"dense_layers": layers} if places is None else places),
    }
