"""A config.json written from a published encoder's or encoder-decoder's numbers is that model's preset."""

from __future__ import annotations

import json

import pytest

from tonne.count.parameters import parameters
from tonne.describe.architecture import Architecture
from tonne.describe.huggingface import encoder_decoders, encoders
from tonne.reference.architectures import architecture_rows
from tonne.reference.huggingface import default_values

TYPES = encoders.READERS | encoder_decoders.READERS
ROWS = {preset: row for preset, row in architecture_rows().items() if row["huggingface_model_type"] in TYPES}
NAMES = {  # column of the presets -> what the configurations call it
    "width": ("hidden_size", "dim", "d_model"),
    "layers": ("num_hidden_layers", "n_layers"),
    "encoder_layers": ("encoder_layers", "num_layers"),
    "decoder_layers": ("decoder_layers", "num_decoder_layers"),
    "heads": ("num_attention_heads", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads"),
    "head_width": ("d_kv",),
    "feed_forward_width": ("intermediate_size", "hidden_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim"),
    "vocabulary": ("vocab_size",),
    "max_positions": ("max_position_embeddings",),
    "attention_window": ("local_attention",),
}
DEBERTA_V3 = {  # what the published files say beside the numbers
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "type_vocab_size": 0,
}
OF_TYPE = {
    "deberta-v2": DEBERTA_V3,
    "roberta": {"type_vocab_size": 1},
    "xlm-roberta": {"type_vocab_size": 1},
    "modernbert": {"global_attn_every_n_layers": 3},
}
BASE = {  # the class without its output table where a row counts none
    "bert": "BertModel",
    "roberta": "RobertaModel",
    "xlm-roberta": "XLMRobertaModel",
    "albert": "AlbertModel",
    "electra": "ElectraForPreTraining",
    "distilbert": "DistilBertModel",
    "deberta-v2": "DebertaV2Model",
    "modernbert": "ModernBertModel",
}
PUBLISHED = {
    "bert-base-uncased": 109_482_240,
    "bert-large-uncased": 335_141_888,
    "roberta-large": 355_359_744,
    "xlm-roberta-base": 278_043_648,
    "albert-xxlarge": 222_595_584,
    "distilbert-base-uncased": 66_362_880,
    "deberta-v3-base": 183_831_552,
    "modernbert-base": 149_014_272,
    "t5-11b": 11_307_321_344,
    "bart-large": 406_291_456,
    "nllb-200-3.3b": 3_344_863_232,
}
FEED_FORWARD = {("plain", "relu"): "relu", ("gated", "gelu"): "gated-gelu"}


def config_of(preset):
    """The row's numbers under the names of its model type; what else its class holds is left at the defaults."""
    row = ROWS[preset]
    model_type = row["huggingface_model_type"]
    known = default_values(model_type)
    fields = {
        name: int(row[column]) for column, names in NAMES.items() for name in names if name in known and row[column]
    }
    if "roberta" in model_type:
        fields["max_position_embeddings"] += 2  # the rows before the first position
    if "embedding_size" in known:
        extra = dict(item.split("=") for item in row["extra"].split(";"))
        fields["embedding_size"] = int(extra.get("embedding_width", row["width"]))
    if "feed_forward_proj" in known:
        fields["feed_forward_proj"] = FEED_FORWARD[row["feed_forward"], row["activation"]]
    tied = row["tied_embeddings"] == "true"
    classes = {"architectures": [BASE[model_type]]} if model_type in BASE else {}
    return {"model_type": model_type, **classes, "tie_word_embeddings": tied, **fields, **OF_TYPE.get(model_type, {})}


def read(tmp_path, fields):
    (tmp_path / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    return Architecture.from_huggingface(tmp_path)


def beside(preset, architecture):
    """Numbers that transformers' class stores beside what the row counts."""
    row = ROWS[preset]
    width = architecture.width
    if row["huggingface_model_type"] in ("pegasus", "marian"):
        return 2 * architecture.max_positions * width  # sinusoidal tables, one a stack
    if row["tied_embeddings"] == "false" and "t5" in row["huggingface_model_type"]:
        return -architecture.vocabulary * width  # the output table, tied whatever the file says
    return width + 1 if row["huggingface_model_type"] == "electra" else 0  # the discriminator's one label


@pytest.mark.parametrize("preset", ROWS)
def test_a_published_model(preset, tmp_path):
    made, expected = read(tmp_path, config_of(preset)), Architecture.preset(preset)
    assert parameters(made) == parameters(expected) + beside(preset, made)


@pytest.mark.parametrize("preset", [preset for preset in ROWS if not preset.startswith(("electra", "t5-v1.1", "mt5"))])
def test_its_shape_is_that_of_the_preset(preset, tmp_path):
    made, expected = read(tmp_path, config_of(preset)).model_dump(), Architecture.preset(preset).model_dump()
    for name in ("stored_positions", "distinct_layers", "activation"):  # what the rows leave out, or round
        del made[name], expected[name]
    if made["positions"] != "learned":
        del made["max_positions"], expected["max_positions"]  # no table of them
    else:
        for fields in (made, expected):
            fields["max_positions"] += fields.pop("position_offset")
    if not made["relative_rows"]:
        del made["relative_products"], expected["relative_products"]
    assert made == expected


@pytest.mark.parametrize(("preset", "published"), PUBLISHED.items())
def test_the_published_count(preset, published, tmp_path):
    assert parameters(read(tmp_path, config_of(preset))) == published
