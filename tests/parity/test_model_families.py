"""Logits and gradients of small random models in fp64, against the classes of transformers: families beside the seven
whose weights are read and written.

Each family is a class of transformers, changed values of its configuration, the numbers of its Architecture that change
results, and where our parts find their weights. transformers rounds norms, rotations or softmax to fp32 even here, so
what agrees does so to about 1e-7.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.slow  # transformers takes seconds to import

TOLERANCE = 2e-6
ROOT = math.sqrt(32)
NUMBERED = re.compile(r"\.layers\.(\d+)\.")

LLAMA = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
WIDE = LLAMA | {"head_dim": 8}
BERT = {name: LLAMA[name] for name in LLAMA if not name.endswith("_id") and name != "num_key_value_heads"}
FALCON = {name: LLAMA[name] for name in LLAMA if name not in ("num_key_value_heads", "intermediate_size")}
LATENT = LLAMA | {
    "num_key_value_heads": 4,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 24,
    "kv_lora_rank": 12,
    "q_lora_rank": 14,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 6,
    "v_head_dim": 10,
}
TRANSLATOR = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
T5 = {"num_layers": 2, "d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 48, "vocab_size": 97}
DEBERTA = BERT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
SHARED_DEBERTA = DEBERTA | {"share_att_key": True, "position_biased_input": False, "type_vocab_size": 0}


def both(ours, theirs):
    """Weight and bias of a part of the same shape."""
    return {f"{ours}.{name}": [f"{theirs}.{name}"] for name in ("weight", "bias")}


def fused(ours, *theirs):
    """Weight and bias of a part that stands for several of theirs."""
    return {f"{ours}.{name}": [f"{part}.{name}" for part in theirs] for name in ("weight", "bias")}


def by_head(heads, kinds):
    """Rows that lie head by head, of queries, keys and values in turn -> all queries, all keys, all values."""

    def apart(rows):
        parts = rows.reshape(heads, sum(kinds), -1, *rows.shape[1:]).split(kinds, 1)
        return torch.cat([part.reshape(-1, *rows.shape[1:]) for part in parts])

    return apart


def interleaved_up(rows):
    """gpt-oss keeps the rows of gate and up in turn, and inputs before outputs -> gate, then up."""
    apart = torch.cat([rows[..., ::2], rows[..., 1::2]], -1)
    return apart.transpose(1, 2) if apart.dim() == 3 else apart


def stacked(rows):
    """Four experts' rows one below the other -> one matrix each."""
    return rows.reshape(4, -1, rows.shape[-1])


LLAMA_PARTS = {
    "embedding.tokens.weight": ["model.embed_tokens.weight"],
    **fused("L.attention.query_key_value", *(f"model.layers.#.self_attn.{x}_proj" for x in "qkv")),
    **both("L.attention.output", "model.layers.#.self_attn.o_proj"),
    "L.attention.norms.query.weight": ["model.layers.#.self_attn.q_norm.weight"],
    "L.attention.norms.key.weight": ["model.layers.#.self_attn.k_norm.weight"],
    "L.attention.sinks": ["model.layers.#.self_attn.sinks"],
    **both("L.attention_norm", "model.layers.#.input_layernorm"),
    **both("L.feed_forward_norm", "model.layers.#.post_attention_layernorm"),
    **fused("L.feed_forward.gate_up", "model.layers.#.mlp.gate_proj", "model.layers.#.mlp.up_proj"),
    **both("L.feed_forward.up", "model.layers.#.mlp.up_proj"),
    **both("L.feed_forward.down", "model.layers.#.mlp.down_proj"),
    "L.experts.router.scores.weight": ["model.layers.#.mlp.gate.weight"],
    "L.experts.router.correction": ["model.layers.#.mlp.gate.e_score_correction_bias"],
    "L.experts.up": ["model.layers.#.mlp.experts.gate_up_proj"],
    "L.experts.down": ["model.layers.#.mlp.experts.down_proj"],
    **fused(
        "L.experts.shared.0.gate_up",
        "model.layers.#.mlp.shared_experts.gate_proj",
        "model.layers.#.mlp.shared_experts.up_proj",
    ),
    **both("L.experts.shared.0.down", "model.layers.#.mlp.shared_experts.down_proj"),
    **both("decoder.final_norm", "model.norm"),
    **both("output", "lm_head"),
}
SANDWICH_PARTS = LLAMA_PARTS | {
    "L.attention_after_norm.weight": ["model.layers.#.post_attention_layernorm.weight"],
    "L.feed_forward_norm.weight": ["model.layers.#.pre_feedforward_layernorm.weight"],
    "L.feed_forward_after_norm.weight": ["model.layers.#.post_feedforward_layernorm.weight"],
}
GLM4_PARTS = LLAMA_PARTS | {
    "L.feed_forward.gate_up.weight": ["model.layers.#.mlp.gate_up_proj.weight"],
    "L.attention_after_norm.weight": ["model.layers.#.post_self_attn_layernorm.weight"],
    "L.feed_forward_after_norm.weight": ["model.layers.#.post_mlp_layernorm.weight"],
}
OLMO2_PARTS = LLAMA_PARTS | {
    "L.attention_norm.weight": ["model.layers.#.post_attention_layernorm.weight"],
    "L.feed_forward_norm.weight": ["model.layers.#.post_feedforward_layernorm.weight"],
}
APERTUS_PARTS = LLAMA_PARTS | {
    "L.attention_norm.weight": ["model.layers.#.attention_layernorm.weight"],
    "L.feed_forward_norm.weight": ["model.layers.#.feedforward_layernorm.weight"],
    "L.feed_forward.slopes": ["model.layers.#.mlp.act_fn.alpha_p", "model.layers.#.mlp.act_fn.alpha_n"],
}
PHI_PARTS = (
    LLAMA_PARTS
    | both("L.attention.output", "model.layers.#.self_attn.dense")
    | both("L.feed_forward.up", "model.layers.#.mlp.fc1")
    | both("L.feed_forward.down", "model.layers.#.mlp.fc2")
    | both("decoder.final_norm", "model.final_layernorm")
)
STARCODER2_PARTS = (
    LLAMA_PARTS
    | both("L.feed_forward.up", "model.layers.#.mlp.c_fc")
    | both("L.feed_forward.down", "model.layers.#.mlp.c_proj")
)
GPT_OSS_PARTS = (
    LLAMA_PARTS
    | both("L.experts.router.scores", "model.layers.#.mlp.router")
    | {
        "L.experts.up": (["model.layers.#.mlp.experts.gate_up_proj"], interleaved_up),
        "L.experts.up_bias": (["model.layers.#.mlp.experts.gate_up_proj_bias"], interleaved_up),
        "L.experts.down": (["model.layers.#.mlp.experts.down_proj"], lambda rows: rows.transpose(1, 2)),
        "L.experts.down_bias": ["model.layers.#.mlp.experts.down_proj_bias"],
    }
)
LATENT_PARTS = LLAMA_PARTS | {
    "L.attention.query_down.weight": ["model.layers.#.self_attn.q_a_proj.weight"],
    "L.attention.query_norm.weight": ["model.layers.#.self_attn.q_a_layernorm.weight"],
    "L.attention.query.weight": ["model.layers.#.self_attn.q_b_proj.weight"],
    "L.attention.down.weight": ["model.layers.#.self_attn.kv_a_proj_with_mqa.weight"],
    "L.attention.norm.weight": ["model.layers.#.self_attn.kv_a_layernorm.weight"],
    "L.attention.key_value.weight": ["model.layers.#.self_attn.kv_b_proj.weight"],
}
NEOX_PARTS = {
    "embedding.tokens.weight": ["gpt_neox.embed_in.weight"],
    **{
        f"L.attention.query_key_value.{name}": (
            [f"gpt_neox.layers.#.attention.query_key_value.{name}"],
            by_head(4, [1, 1, 1]),
        )
        for name in ("weight", "bias")
    },
    **both("L.attention.output", "gpt_neox.layers.#.attention.dense"),
    **both("L.attention_norm", "gpt_neox.layers.#.input_layernorm"),
    **both("L.feed_forward_norm", "gpt_neox.layers.#.post_attention_layernorm"),
    **both("L.feed_forward.up", "gpt_neox.layers.#.mlp.dense_h_to_4h"),
    **both("L.feed_forward.down", "gpt_neox.layers.#.mlp.dense_4h_to_h"),
    **both("decoder.final_norm", "gpt_neox.final_layer_norm"),
    **both("output", "lm_head"),
}
GPTJ_PARTS = {
    "embedding.tokens.weight": ["transformer.wte.weight"],
    "L.attention.query_key_value.weight": [f"transformer.h.#.attn.{x}_proj.weight" for x in "qkv"],
    "L.attention.output.weight": ["transformer.h.#.attn.out_proj.weight"],
    **both("L.attention_norm", "transformer.h.#.ln_1"),
    **both("L.feed_forward.up", "transformer.h.#.mlp.fc_in"),
    **both("L.feed_forward.down", "transformer.h.#.mlp.fc_out"),
    **both("decoder.final_norm", "transformer.ln_f"),
    **both("output", "lm_head"),
}
BLOOM_PARTS = {
    "embedding.tokens.weight": ["transformer.word_embeddings.weight"],
    **both("decoder.inputs.norm", "transformer.word_embeddings_layernorm"),
    **{
        f"L.attention.query_key_value.{name}": (
            [f"transformer.h.#.self_attention.query_key_value.{name}"],
            by_head(4, [1, 1, 1]),
        )
        for name in ("weight", "bias")
    },
    **both("L.attention.output", "transformer.h.#.self_attention.dense"),
    **both("L.attention_norm", "transformer.h.#.input_layernorm"),
    **both("L.feed_forward_norm", "transformer.h.#.post_attention_layernorm"),
    **both("L.feed_forward.up", "transformer.h.#.mlp.dense_h_to_4h"),
    **both("L.feed_forward.down", "transformer.h.#.mlp.dense_4h_to_h"),
    **both("decoder.final_norm", "transformer.ln_f"),
}
FALCON_PARTS = BLOOM_PARTS | {
    "L.attention.query_key_value.weight": ["transformer.h.#.self_attention.query_key_value.weight"]
}
NEWER_FALCON_PARTS = (
    BLOOM_PARTS
    | {
        "L.attention.query_key_value.weight": (
            ["transformer.h.#.self_attention.query_key_value.weight"],
            by_head(2, [2, 1, 1]),
        )
    }
    | both("L.attention_norm", "transformer.h.#.ln_attn")
    | both("L.feed_forward_norm", "transformer.h.#.ln_mlp")
)
MODERNBERT_PARTS = {
    "embedding.tokens.weight": ["model.embeddings.tok_embeddings.weight"],
    "encoder.inputs.norm.weight": ["model.embeddings.norm.weight"],
    "L.attention.query_key_value.weight": ["model.layers.#.attn.Wqkv.weight"],
    "L.attention.output.weight": ["model.layers.#.attn.Wo.weight"],
    "L.attention_norm.weight": ["model.layers.#.attn_norm.weight"],
    "L.feed_forward_norm.weight": ["model.layers.#.mlp_norm.weight"],
    "L.feed_forward.gate_up.weight": ["model.layers.#.mlp.Wi.weight"],
    "L.feed_forward.down.weight": ["model.layers.#.mlp.Wo.weight"],
    "encoder.final_norm.weight": ["model.final_norm.weight"],
    "prediction.dense.weight": ["head.dense.weight"],
    "prediction.norm.weight": ["head.norm.weight"],
    "prediction.bias": ["decoder.bias"],
}


def bert_parts(base, head, *, query="attention.self.query", names=("query", "key", "value")):
    """Parts of an encoder that descends from BERT; ``head``: where its language model's dense layer and bias are."""
    layer = f"{base}.encoder.layer.#"
    return {
        "embedding.tokens.weight": [f"{base}.embeddings.word_embeddings.weight"],
        "embedding.types.weight": [f"{base}.embeddings.token_type_embeddings.weight"],
        "encoder.inputs.positions.weight": [f"{base}.embeddings.position_embeddings.weight"],
        **both("encoder.inputs.norm", f"{base}.embeddings.LayerNorm"),
        **fused("L.attention.query_key_value", *(f"{layer}.{query.replace('query', name)}" for name in names)),
        **both("L.attention.output", f"{layer}.attention.output.dense"),
        **both("L.attention_norm", f"{layer}.attention.output.LayerNorm"),
        **both("L.feed_forward.up", f"{layer}.intermediate.dense"),
        **both("L.feed_forward.down", f"{layer}.output.dense"),
        **both("L.feed_forward_norm", f"{layer}.output.LayerNorm"),
        **both("prediction.dense", head[0]),
        **both("prediction.norm", head[1]),
        "prediction.bias": [head[2]],
    }


TRANSFORM = ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias")
ROBERTA_PARTS = bert_parts("roberta", ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"))
ELECTRA_HEAD = ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias")
ELECTRA_PARTS = bert_parts("electra", ELECTRA_HEAD) | both("embedding.projection", "electra.embeddings_project")
ALBERT_LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.#"
ALBERT_PARTS = (
    bert_parts("albert", ("predictions.dense", "predictions.LayerNorm", "predictions.bias"))
    | both("embedding.projection", "albert.encoder.embedding_hidden_mapping_in")
    | fused("L.attention.query_key_value", *(f"{ALBERT_LAYER}.attention.{x}" for x in ("query", "key", "value")))
    | both("L.attention.output", f"{ALBERT_LAYER}.attention.dense")
    | both("L.attention_norm", f"{ALBERT_LAYER}.attention.LayerNorm")
    | both("L.feed_forward.up", f"{ALBERT_LAYER}.ffn")
    | both("L.feed_forward.down", f"{ALBERT_LAYER}.ffn_output")
    | both("L.feed_forward_norm", f"{ALBERT_LAYER}.full_layer_layer_norm")
)
DEBERTA_PARTS = (
    bert_parts("deberta", TRANSFORM, query="attention.self.query_proj")
    | {"encoder.relative_rows.weight": ["deberta.encoder.rel_embeddings.weight"]}
    | both("encoder.relative_norm", "deberta.encoder.LayerNorm")
    | both("encoder.convolution.convolution", "deberta.encoder.conv.conv")
    | both("encoder.convolution.norm", "deberta.encoder.conv.LayerNorm")
    | both("L.attention.relative.key", "deberta.encoder.layer.#.attention.self.pos_key_proj")
    | both("L.attention.relative.query", "deberta.encoder.layer.#.attention.self.pos_query_proj")
)
MPNET_LAYER = "mpnet.encoder.layer.#.attention"
MPNET_PARTS = (
    bert_parts("mpnet", ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"))
    | fused("L.attention.query_key_value", *(f"{MPNET_LAYER}.attn.{x}" for x in "qkv"))
    | both("L.attention.output", f"{MPNET_LAYER}.attn.o")
    | both("L.attention_norm", f"{MPNET_LAYER}.LayerNorm")
    | {"encoder.relative.weight": ["mpnet.encoder.relative_attention_bias.weight"]}
)


def fairseq_parts(side, ours, *, across):
    """Parts of one stack of what descends from fairseq."""
    layer, mine = f"model.{side}.layers.#", f"{ours}.layers.#"
    parts = {
        f"{ours}.inputs.positions.weight": [f"model.{side}.embed_positions.weight"],
        **both(f"{ours}.inputs.norm", f"model.{side}.layernorm_embedding"),
        **both(f"{ours}.final_norm", f"model.{side}.layer_norm"),
        **fused(f"{mine}.attention.query_key_value", *(f"{layer}.self_attn.{x}_proj" for x in "qkv")),
        **both(f"{mine}.attention.output", f"{layer}.self_attn.out_proj"),
        **both(f"{mine}.attention_norm", f"{layer}.self_attn_layer_norm"),
        **both(f"{mine}.feed_forward.up", f"{layer}.fc1"),
        **both(f"{mine}.feed_forward.down", f"{layer}.fc2"),
        **both(f"{mine}.feed_forward_norm", f"{layer}.final_layer_norm"),
    }
    if not across:
        return parts
    return (
        parts
        | both(f"{mine}.cross_attention.query", f"{layer}.encoder_attn.q_proj")
        | fused(f"{mine}.cross_attention.key_value", *(f"{layer}.encoder_attn.{x}_proj" for x in "kv"))
        | both(f"{mine}.cross_attention.output", f"{layer}.encoder_attn.out_proj")
        | both(f"{mine}.cross_attention_norm", f"{layer}.encoder_attn_layer_norm")
    )


TRANSLATOR_PARTS = (
    {"embedding.tokens.weight": ["model.shared.weight"]}
    | fairseq_parts("encoder", "encoder", across=False)
    | fairseq_parts("decoder", "decoder", across=True)
)
OPT_PARTS = fairseq_parts("decoder", "decoder", across=False) | {
    "embedding.tokens.weight": ["model.decoder.embed_tokens.weight"],
    "embedding.projection.weight": ["model.decoder.project_in.weight"],
    "output_projection.weight": ["model.decoder.project_out.weight"],
    "decoder.final_norm.weight": ["model.decoder.final_layer_norm.weight"],
}


def t5_parts(side, number, inner):
    """Parts of one stack of what descends from T5; its feed-forward block is sub-layer ``number`` of a layer."""
    layer, mine = f"{side}.block.#.layer", f"{side}.layers.#"
    block = f"{layer}.{number}.{inner}"
    return {
        f"{mine}.attention.query_key_value.weight": [f"{layer}.0.SelfAttention.{x}.weight" for x in "qkv"],
        f"{mine}.attention.output.weight": [f"{layer}.0.SelfAttention.o.weight"],
        f"{mine}.attention_norm.weight": [f"{layer}.0.layer_norm.weight"],
        f"{mine}.relative.weight": [f"{layer}.0.SelfAttention.relative_attention_bias.weight"],
        f"{side}.relative.weight": [f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"],
        f"{mine}.cross_attention.query.weight": [f"{layer}.1.EncDecAttention.q.weight"],
        f"{mine}.cross_attention.key_value.weight": [f"{layer}.1.EncDecAttention.{x}.weight" for x in "kv"],
        f"{mine}.cross_attention.output.weight": [f"{layer}.1.EncDecAttention.o.weight"],
        f"{mine}.cross_attention_norm.weight": [f"{layer}.1.layer_norm.weight"],
        f"{mine}.feed_forward.gate_up.weight": [f"{block}.wi_0.weight", f"{block}.wi_1.weight"],
        f"{mine}.feed_forward.up.weight": [f"{block}.wi.weight"],
        f"{mine}.feed_forward.down.weight": [f"{block}.wo.weight"],
        f"{mine}.feed_forward_norm.weight": [f"{layer}.{number}.layer_norm.weight"],
        f"{mine}.experts.router.scores.weight": [f"{block}.router.classifier.weight"],
        f"{mine}.experts.up": ([f"{block}.experts.expert_{e}.wi.weight" for e in range(4)], stacked),
        f"{mine}.experts.down": ([f"{block}.experts.expert_{e}.wo.weight" for e in range(4)], stacked),
        f"{side}.final_norm.weight": [f"{side}.final_layer_norm.weight"],
    }


def t5_pair(inner):
    shared = {"embedding.tokens.weight": ["shared.weight"]}
    return shared | t5_parts("encoder", 1, inner) | t5_parts("decoder", 2, inner)


@dataclass(frozen=True, kw_only=True)
class Family:
    type: str
    model: str
    config: dict = field(default_factory=dict)
    parts: dict = field(default_factory=dict)
    numerics: dict = field(default_factory=dict)
    padded: bool = True  # theirs gives no numbers where padding sees nothing but padding, under a window


RMS6 = {"norm_epsilon": 1e-6}
GEMMA = RMS6 | {"norm_unit_offset": True, "gelu_approximation": "tanh", "embedding_scale": ROOT}
GEMMA_SCALED = GEMMA | {"attention_scale": 11**-0.5}
TANH = {"gelu_approximation": "tanh"}
SWITCHED = {"attention_scale": 1.0, "output_scale": 1 / ROOT} | RMS6
WINDOW = {"sliding_window": 3, "query_pre_attn_scalar": 11}
YARN = {"kind": "yarn", "factor": 32.0, "original_positions": 4096, "truncated": False}
APERTUS_SCALING = {
    "kind": "llama3",
    "factor": 8.0,
    "original_positions": 8192,
    "low_frequency_factor": 1.0,
    "high_frequency_factor": 4.0,
}
V3_ROUTING = {
    "router_scores": "sigmoid",
    "routing_scale": 2.5,
    "groups": 4,
    "groups_per_token": 2,
    "router_correction": True,
}
V2_ROUTING = {
    "normalized_weights": False,
    "routing_scale": 3.0,
    "groups": 4,
    "groups_per_token": 2,
    "group_score": "maximum",
}
V2_CONFIG = {"topk_method": "group_limited_greedy", "routed_scaling_factor": 3.0, "n_shared_experts": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
SPECIAL = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
SCALED = {"scale_embedding": True}

FAMILIES = {
    "gemma": Family(type="gemma", model="GemmaForCausalLM", config=WIDE, parts=LLAMA_PARTS, numerics=GEMMA),
    "gemma2": Family(
        type="gemma2",
        model="Gemma2ForCausalLM",
        config=WIDE | WINDOW,
        parts=SANDWICH_PARTS,
        numerics=GEMMA_SCALED | {"attention_softcap": 50.0, "output_softcap": 30.0},
        padded=False,
    ),
    "gemma3": Family(
        type="gemma3_text",
        model="Gemma3ForCausalLM",
        config=WIDE | WINDOW | {"num_hidden_layers": 6},
        parts=SANDWICH_PARTS,
        numerics=GEMMA_SCALED | {"rotary_base": 1e6, "window_rotary_base": 1e4},
        padded=False,
    ),
    "qwen3": Family(type="qwen3", model="Qwen3ForCausalLM", config=WIDE, parts=LLAMA_PARTS, numerics=RMS6),
    "qwen3-moe": Family(
        type="qwen3_moe",
        model="Qwen3MoeForCausalLM",
        config=WIDE | EXPERTS | {"moe_intermediate_size": 24, "norm_topk_prob": True},
        parts=LLAMA_PARTS,
        numerics=RMS6,
    ),
    "mixtral": Family(
        type="mixtral",
        model="MixtralForCausalLM",
        config=WIDE | {"num_local_experts": 4, "sliding_window": None},
        parts=LLAMA_PARTS,
        numerics={"rotary_base": 1e6},
    ),
    "olmoe": Family(
        type="olmoe",
        model="OlmoeForCausalLM",
        config=LLAMA | EXPERTS,
        parts=LLAMA_PARTS,
        numerics={"experts": {"normalized_weights": False}},
    ),
    "olmo": Family(type="olmo", model="OlmoForCausalLM", config=LLAMA, parts=LLAMA_PARTS),
    "olmo2": Family(type="olmo2", model="Olmo2ForCausalLM", config=LLAMA, parts=OLMO2_PARTS),
    "gpt-oss": Family(
        type="gpt_oss",
        model="GptOssForCausalLM",
        config=WIDE | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 3},
        parts=GPT_OSS_PARTS,
        numerics={"swiglu_limit": 7.0, "rotary_base": 150000.0, "rotary_scaling": YARN},
    ),
    "deepseek-v3": Family(
        type="deepseek_v3",
        model="DeepseekV3ForCausalLM",
        config=LATENT | {"n_shared_experts": 1},
        parts=LATENT_PARTS,
        numerics=RMS6 | {"rotary_interleaved": True, "experts": V3_ROUTING},
    ),
    "deepseek-v2": Family(
        type="deepseek_v2",
        model="DeepseekV2ForCausalLM",
        config=LATENT | V2_CONFIG,
        parts=LATENT_PARTS,
        numerics=RMS6 | {"rotary_interleaved": True, "experts": V2_ROUTING},
    ),
    "gpt-neox": Family(
        type="gpt_neox",
        model="GPTNeoXForCausalLM",
        config=BERT | {"rotary_pct": 0.25, "bos_token_id": None, "eos_token_id": None},
        parts=NEOX_PARTS,
        numerics={"rotary_width": 2},
    ),
    "gpt-j": Family(
        type="gptj",
        model="GPTJForCausalLM",
        config={"n_layer": 2, "n_embd": 32, "n_head": 4, "vocab_size": 97, "n_positions": 64, "rotary_dim": 4},
        parts=GPTJ_PARTS,
        numerics=TANH | {"rotary_width": 4, "rotary_interleaved": True},
    ),
    "phi": Family(
        type="phi", model="PhiForCausalLM", config=LLAMA, parts=PHI_PARTS, numerics=TANH | {"rotary_width": 4}
    ),
    "bloom": Family(
        type="bloom",
        model="BloomForCausalLM",
        config={"n_layer": 2, "hidden_size": 32, "n_head": 4, "vocab_size": 97},
        parts=BLOOM_PARTS,
        numerics=TANH,
    ),
    "falcon": Family(type="falcon", model="FalconForCausalLM", config=FALCON, parts=FALCON_PARTS),
    "falcon-40b": Family(
        type="falcon",
        model="FalconForCausalLM",
        config=FALCON | {"num_kv_heads": 2, "new_decoder_architecture": True},
        parts=NEWER_FALCON_PARTS,
    ),
    "opt-350m": Family(
        type="opt",
        model="OPTForCausalLM",
        config=BERT | SPECIAL | {"ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
        parts=OPT_PARTS,
    ),
    "cohere": Family(
        type="cohere",
        model="CohereForCausalLM",
        config=LLAMA | {"use_qk_norm": True},
        parts=LLAMA_PARTS,
        numerics={"rotary_interleaved": True, "output_scale": 0.0625, "rotary_base": 500000.0},
    ),
    "stablelm": Family(
        type="stablelm", model="StableLmForCausalLM", config=LLAMA, parts=LLAMA_PARTS, numerics={"rotary_width": 2}
    ),
    "starcoder2": Family(
        type="starcoder2", model="Starcoder2ForCausalLM", config=LLAMA, parts=STARCODER2_PARTS, numerics=TANH
    ),
    "nemotron": Family(
        type="nemotron",
        model="NemotronForCausalLM",
        config=LLAMA,
        parts=LLAMA_PARTS,
        numerics={"norm_unit_offset": True, "rotary_width": 4},
    ),
    "apertus": Family(
        type="apertus",
        model="ApertusForCausalLM",
        config=LLAMA | {"hidden_act": "xielu"},
        parts=APERTUS_PARTS,
        numerics={"rotary_base": 12e6, "rotary_scaling": APERTUS_SCALING},
    ),
    "granite": Family(
        type="granite",
        model="GraniteForCausalLM",
        config=LLAMA
        | {
            "embedding_multiplier": 3.0,
            "logits_scaling": 2.0,
            "residual_multiplier": 0.7,
            "attention_multiplier": 0.3,
        },
        parts=LLAMA_PARTS,
        numerics=RMS6 | {"embedding_scale": 3.0, "output_scale": 0.5, "residual_scale": 0.7, "attention_scale": 0.3},
    ),
    "glm4": Family(
        type="glm4",
        model="Glm4ForCausalLM",
        config=WIDE | {"partial_rotary_factor": 0.5},
        parts=GLM4_PARTS | {"L.feed_forward_norm.weight": ["model.layers.#.post_attention_layernorm.weight"]},
        numerics={"norm_epsilon": 1.5625e-07, "rotary_interleaved": True, "rotary_width": 4},
    ),
    "smollm3": Family(
        type="smollm3",
        model="SmolLM3ForCausalLM",
        config=LLAMA | {"num_hidden_layers": 4, "no_rope_layers": [1, 1, 0, 1]},
        parts=LLAMA_PARTS,
        numerics=RMS6 | {"rotary_base": 2e6, "unrotated_layers": (2,)},
    ),
    "modernbert": Family(
        type="modernbert",
        model="ModernBertForMaskedLM",
        config=BERT | SPECIAL | {"num_hidden_layers": 4, "local_attention": 4, "cls_token_id": 0, "sep_token_id": 2},
        parts=MODERNBERT_PARTS,
        numerics={"rotary_base": 160000.0, "window_rotary_base": 1e4},
        padded=False,
    ),
    "albert": Family(
        type="albert",
        model="AlbertForMaskedLM",
        config=BERT | {"embedding_size": 16},
        parts=ALBERT_PARTS,
        numerics=TANH | {"norm_epsilon": 1e-12},
    ),
    "roberta": Family(
        type="roberta",
        model="RobertaForMaskedLM",
        config=BERT | {"pad_token_id": 1},
        parts=ROBERTA_PARTS,
        numerics={"norm_epsilon": 1e-12},
    ),
    "electra": Family(
        type="electra",
        model="ElectraForMaskedLM",
        config=BERT | {"embedding_size": 16},
        parts=ELECTRA_PARTS,
        numerics={"norm_epsilon": 1e-12},
    ),
    "deberta-v3": Family(
        type="deberta-v2",
        model="DebertaV2ForMaskedLM",
        config=SHARED_DEBERTA | {"norm_rel_ebd": "layer_norm", "position_buckets": 4, "max_relative_positions": 16},
        parts=DEBERTA_PARTS,
        numerics={"norm_epsilon": 1e-7, "relative_log_distance": 16},
    ),
    "deberta-v2": Family(
        type="deberta-v2",
        model="DebertaV2ForMaskedLM",
        config=SHARED_DEBERTA | {"max_relative_positions": 16, "conv_kernel_size": 3},
        parts=DEBERTA_PARTS,
        numerics={"norm_epsilon": 1e-7},
    ),
    "deberta-v2-own-projections": Family(
        type="deberta-v2",
        model="DebertaV2ForMaskedLM",
        config=DEBERTA | {"share_att_key": False, "type_vocab_size": 2, "max_relative_positions": 5},
        parts=DEBERTA_PARTS,
        numerics={"norm_epsilon": 1e-7},
    ),
    "mpnet": Family(
        type="mpnet",
        model="MPNetForMaskedLM",
        config=BERT | {"pad_token_id": 1},
        parts=MPNET_PARTS,
        numerics={"norm_epsilon": 1e-12},
    ),
    "marian": Family(
        type="marian",
        model="MarianMTModel",
        config=TRANSLATOR
        | SCALED
        | {"share_encoder_decoder_embeddings": True, "activation_function": "swish", "forced_eos_token_id": None},
        parts=TRANSLATOR_PARTS,
        numerics={"embedding_scale": ROOT, "sinusoidal_order": "halves"},
    ),
    "pegasus": Family(
        type="pegasus",
        model="PegasusForConditionalGeneration",
        config=TRANSLATOR | SCALED | {"activation_function": "relu"},
        parts=TRANSLATOR_PARTS,
        numerics={"embedding_scale": ROOT, "sinusoidal_order": "halves"},
    ),
    "nllb": Family(
        type="m2m_100",
        model="M2M100ForConditionalGeneration",
        config=TRANSLATOR | SCALED,
        parts=TRANSLATOR_PARTS,
        numerics={"embedding_scale": ROOT, "sinusoidal_order": "fairseq", "position_offset": 2},
    ),
    "mbart": Family(
        type="mbart",
        model="MBartForConditionalGeneration",
        config=TRANSLATOR | SCALED,
        parts=TRANSLATOR_PARTS,
        numerics={"embedding_scale": ROOT},
    ),
    "mt5": Family(
        type="mt5",
        model="MT5ForConditionalGeneration",
        config=T5 | {"feed_forward_proj": "gated-gelu"},
        parts=t5_pair("DenseReluDense"),
        numerics=RMS6 | TANH | {"attention_scale": 1.0, "output_scale": 1.0},
    ),
    "umt5": Family(
        type="umt5",
        model="UMT5ForConditionalGeneration",
        config=T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": True},
        parts=t5_pair("DenseReluDense"),
        numerics=SWITCHED | TANH,
    ),
    "switch": Family(
        type="switch_transformers",
        model="SwitchTransformersForConditionalGeneration",
        config=T5
        | {
            "num_layers": 4,
            "num_sparse_encoder_layers": 2,
            "num_sparse_decoder_layers": 2,
            "num_experts": 4,
            "expert_capacity": 1000,
        },
        parts=t5_pair("mlp"),
        numerics=SWITCHED,
    ),
}


def theirs_of(family):
    """A random class of transformers in fp64, without dropout."""
    import transformers  # noqa: PLC0415

    transformers.logging.set_verbosity_error()
    config = transformers.CONFIG_MAPPING[family.type](**family.config)
    config.architectures = [family.model]
    config._experts_implementation = "eager"  # the others multiply no fp64
    torch.manual_seed(0)
    model = getattr(transformers, family.model)._from_config(config, attn_implementation="eager").double().eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            noise = torch.randn_like(parameter)
            parameter.data = 0.15 * noise if parameter.dim() > 1 else parameter.data + 0.2 * noise
    for name, buffer in model.named_buffers():
        if "e_score_correction" in name:
            buffer.normal_(0, 0.1)
    return model


def ours_of(family, theirs, folder):
    """Our model of the same configuration, with the same weights."""
    from tonne.describe.architecture import Architecture  # noqa: PLC0415
    from tonne.describe.huggingface import architecture_fields  # noqa: PLC0415
    from tonne.model import Transformer  # noqa: PLC0415

    theirs.config.save_pretrained(folder)
    fields = architecture_fields(folder)
    check_numerics(family, Architecture.model_validate(fields))
    if "experts" in family.numerics:
        fields["experts"] = (
            fields["experts"] | family.numerics["experts"]
        )  # a correction that is no parameter of theirs
    model = Transformer(Architecture.model_validate(fields), dtype=torch.float64).eval()
    weights = theirs.state_dict()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weight_of(name, family.parts, weights))
    return model


def check_numerics(family, read):
    """What changes results alone is read from the file, but for the experts' correction, which would be counted."""
    for name, value in family.numerics.items():
        found = getattr(read, name)
        if name in ("experts", "rotary_scaling"):
            for inner, expected in value.items():
                assert inner == "router_correction" or getattr(found, inner) == expected, inner
        else:
            assert found == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name


def weight_of(name, parts, weights):
    numbers = NUMBERED.search(name)
    number = numbers.group(1) if numbers else ""
    numbered = NUMBERED.sub(".layers.#.", name)
    short = re.sub(r"^(?:encoder|decoder)\.layers\.#", "L", numbered)
    found = next(parts[key] for key in (name, numbered, short) if key in parts)
    names, change = found if isinstance(found, tuple) else (found, lambda rows: rows)
    return change(torch.cat([weights[part.replace("#", number)] for part in names]))


def far(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_logits_and_gradients_are_those_of_transformers(name, tmp_path):
    pytest.importorskip("transformers")
    family = FAMILIES[name]
    theirs = theirs_of(family)
    ours = ours_of(family, theirs, tmp_path)
    tokens = torch.randint(3, 97, (3, 11))
    mask = torch.ones_like(tokens)
    if family.padded:
        mask[1, 7:] = 0
        if theirs.config.pad_token_id is not None:
            tokens = torch.where(mask.bool(), tokens, theirs.config.pad_token_id)
    if ours.architecture.kind == "encoder-decoder":
        target = torch.randint(3, 97, (3, 6))
        wanted = theirs(input_ids=tokens, attention_mask=mask, decoder_input_ids=target).logits.flatten(0, 1)
        given = ours.logits(target, source=tokens, source_mask=mask).flatten(0, 1)
    else:
        wanted = theirs(input_ids=tokens, attention_mask=mask).logits[mask.bool()]
        given = ours.logits(tokens, mask)[mask.bool()]
    assert far(given, wanted) <= TOLERANCE
    given.square().mean().backward()
    wanted.square().mean().backward()
    table = theirs.get_input_embeddings().weight
    assert far(ours.embedding.tokens.weight.grad, table.grad) <= 10 * TOLERANCE
