"""A config.json written from a published decoder's numbers is that decoder's preset, field by field."""

from __future__ import annotations

import json

import pytest

from tonne.count.parameters import parameters
from tonne.describe.architecture import Architecture
from tonne.describe.huggingface import decoders
from tonne.reference.architectures import architecture_rows
from tonne.reference.huggingface import default_values

ROWS = {preset: row for preset, row in architecture_rows().items() if row["huggingface_model_type"] in decoders.READERS}
NAMES = {  # column of the presets -> what the configurations call it
    "width": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "head_width": ("head_dim",),
    "feed_forward_width": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    "vocabulary": ("vocab_size",),
    "max_positions": ("max_position_embeddings", "n_positions", "max_seq_len"),
    "attention_window": ("sliding_window", "window_size"),
}
SWITCHES = {  # what else the published files say
    "falcon-40b": {"new_decoder_architecture": True},
    "falcon-180b": {"new_decoder_architecture": True},
    "opt-350m": {"word_embed_proj_dim": 512, "do_layer_norm_before": False},
}
PUBLISHED = {
    "gpt2-small": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "llama-65b": 65_285_660_672,
    "llama-2-7b": 6_738_415_616,
    "llama-3.1-405b": 405_853_388_800,
    "mistral-7b-v0.1": 7_241_732_096,
    "qwen2.5-72b": 72_706_203_648,
    "gemma-2-27b": 27_227_128_320,
    "bloom-176b": 176_247_271_424,
    "phi-2": 2_779_683_840,
    "pythia-12b": 11_846_072_320,
}


def config_of(preset):
    """The row's numbers under the names of its model type; what else its class holds is left at the defaults."""
    row = ROWS[preset]
    model_type = row["huggingface_model_type"]
    known = default_values(model_type)
    fields = {
        name: int(row[column]) if row[column] else None
        for column, names in NAMES.items()
        for name in names
        if name in known
    }
    return {
        "model_type": model_type,
        **{name: value for name, value in fields.items() if value is not None or known[name] is None},
        **({"sliding_window": None} if "sliding_window" in known and not row["attention_window"] else {}),
        "tie_word_embeddings": row["tied_embeddings"] == "true",
        **({"attention_types": [[["global", "local"], fields["num_layers"] // 2]]} if model_type == "gpt_neo" else {}),
        **SWITCHES.get(preset, {}),
    }


def read(tmp_path, fields):
    (tmp_path / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    return Architecture.from_huggingface(tmp_path)


def shape_of(architecture):
    """All fields, those that say the same in two ways in one of them."""
    fields = architecture.model_dump()
    fields["bias"] = fields["bias"] if isinstance(fields["bias"], bool) else sorted(fields["bias"])
    if fields["window_first_full"] in (None, 0) and not fields["window_every"]:
        fields["window_first_full"] = None
    elif fields["window_first_full"] is None:
        fields["window_first_full"] = fields["window_every"] - 1
    if architecture.positions != "learned":
        del fields["max_positions"]  # no table of them
    return fields


@pytest.mark.parametrize("preset", ROWS)
def test_a_published_decoder(preset, tmp_path):
    made, expected = read(tmp_path, config_of(preset)), Architecture.preset(preset)
    assert parameters(made) == parameters(expected)
    assert shape_of(made) == shape_of(expected)


@pytest.mark.parametrize(("preset", "published"), PUBLISHED.items())
def test_the_published_count(preset, published, tmp_path):
    assert parameters(read(tmp_path, config_of(preset))) == published
