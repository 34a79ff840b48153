"""Parameters of encoders' and encoder-decoders' config.json against the classes of transformers, to the integer."""

from __future__ import annotations

import pytest

from tonne.describe.huggingface import encoder_decoders, encoders
from tonne.reference.huggingface import default_values

pytestmark = pytest.mark.slow  # transformers takes seconds to import

# small odd sizes under each configuration's names
BERT = {
    "vocab_size": 101,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 50,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
DISTILBERT = {
    "vocab_size": 101,
    "dim": 24,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 50,
    "max_position_embeddings": 40,
}
BART = {
    "vocab_size": 101,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 50,
    "decoder_ffn_dim": 34,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
T5 = {
    "vocab_size": 101,
    "d_model": 24,
    "d_kv": 5,
    "d_ff": 50,
    "num_layers": 3,
    "num_heads": 4,
    "relative_attention_num_buckets": 9,
}
UNTIED = {"tie_word_embeddings": False}
DECODER = {"is_decoder": True}
READING = {"is_decoder": True, "add_cross_attention": True}
NARROW = {"embedding_size": 10}
RELATIVE = {"relative_attention": True}
BOTH_PRODUCTS = RELATIVE | {"pos_att_type": ["p2c", "c2p"]}
V3 = {"position_buckets": 7, "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False}

OF_BERT = (
    BERT,
    BERT | UNTIED,
    BERT | {"type_vocab_size": 5, "hidden_act": "relu"},
    BERT | {"hidden_size": 30, "num_attention_heads": 5, "num_hidden_layers": 1},
    BERT | {"intermediate_size": 7, "max_position_embeddings": 9},
    BERT | {"vocab_size": 5, "num_attention_heads": 24} | UNTIED,
)
WITH_DECODER = (*OF_BERT, BERT | DECODER, BERT | READING)
OF_BART = (
    BART,
    BART | UNTIED,
    BART | {"decoder_ffn_dim": 50, "decoder_attention_heads": 2},
    BART | {"encoder_layers": 1, "decoder_layers": 5, "activation_function": "relu"},
    BART | {"d_model": 36, "encoder_attention_heads": 9, "max_position_embeddings": 7},
    BART | {"encoder_ffn_dim": 3, "vocab_size": 17} | UNTIED,
)
OF_DEBERTA = (
    BERT,
    BERT | UNTIED,
    BERT | {"type_vocab_size": 2, "position_biased_input": False},
    BERT | RELATIVE,
    BERT | RELATIVE | {"pos_att_type": "c2p"},
    BERT | RELATIVE | {"pos_att_type": ["p2c"], "position_biased_input": False},
    BERT | RELATIVE | {"pos_att_type": "c2p|p2c", "max_relative_positions": 9},
    BERT | NARROW,
    BERT | NARROW | UNTIED,
    BERT | {"legacy": False},
    BERT | {"legacy": False} | UNTIED,
)

SHAPES: dict[str, tuple[dict[str, object], ...]] = {
    "albert": (
        *(shape | NARROW for shape in OF_BERT),
        BERT | {"embedding_size": 24},
        BERT | NARROW | {"num_hidden_groups": 3, "inner_group_num": 2, "num_hidden_layers": 6},
        BERT | NARROW | {"num_hidden_groups": 2, "inner_group_num": 3, "num_hidden_layers": 5},
    ),
    "bert": WITH_DECODER,
    "camembert": WITH_DECODER,
    "deberta": OF_DEBERTA,
    "deberta-v2": (
        *OF_DEBERTA,
        BERT | BOTH_PRODUCTS | V3,
        BERT | BOTH_PRODUCTS | V3 | {"share_att_key": False},
        BERT | BOTH_PRODUCTS | {"position_buckets": -1, "norm_rel_ebd": "none", "max_relative_positions": 6},
        BERT | {"conv_kernel_size": 3, "conv_act": "gelu"},
        BERT | {"conv_kernel_size": 5, "conv_groups": 4, "norm_rel_ebd": "layer_norm"},
    ),
    "distilbert": (
        DISTILBERT,
        DISTILBERT | UNTIED,
        DISTILBERT | {"sinusoidal_pos_embds": True},
        DISTILBERT | {"n_layers": 1, "activation": "relu"},
        DISTILBERT | {"dim": 30, "n_heads": 5, "hidden_dim": 7},
        DISTILBERT | {"sinusoidal_pos_embds": True, "max_position_embeddings": 9, "vocab_size": 5} | UNTIED,
    ),
    "electra": (
        *(shape | NARROW for shape in WITH_DECODER),
        BERT | {"embedding_size": 24},
        BERT | NARROW | {"summary_use_proj": False},
    ),
    "modernbert": (
        BERT,
        BERT | UNTIED,
        BERT | {"attention_bias": True},
        BERT | {"mlp_bias": True, "classifier_bias": True},
        BERT | {"norm_bias": True, "decoder_bias": False},
        BERT | {"global_attn_every_n_layers": 2, "local_attention": 6},
        BERT | {"layer_types": ["full_attention", "sliding_attention", "full_attention"], "num_hidden_layers": 3},
        BERT | {"num_hidden_layers": 1, "hidden_size": 30, "num_attention_heads": 5} | UNTIED,
    ),
    "mpnet": (*OF_BERT, BERT | {"relative_attention_num_buckets": 7}),
    "roberta": (*WITH_DECODER, BERT | {"pad_token_id": 1}),
    "xlm-roberta": WITH_DECODER,
    "xlm-roberta-xl": WITH_DECODER,
    "bart": OF_BART,
    "blenderbot": OF_BART,
    "blenderbot-small": OF_BART,
    "m2m_100": OF_BART,
    "marian": (
        *OF_BART,
        BART | {"share_encoder_decoder_embeddings": False},
        BART | {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 70},
    ),
    "mbart": OF_BART,
    "pegasus": OF_BART,
    **dict.fromkeys(
        ("mt5", "t5", "umt5"),
        (
            T5,
            T5 | {"num_decoder_layers": 5},
            T5 | {"feed_forward_proj": "gated-gelu"},
            T5 | {"feed_forward_proj": "relu"},
            T5 | {"feed_forward_proj": "gated-silu", "d_kv": 11, "num_heads": 3},
            T5 | UNTIED,
            T5 | {"num_layers": 1, "d_ff": 7, "vocab_size": 5, "relative_attention_num_buckets": 4},
        ),
    ),
}
TABLES = (
    "MODEL",
    "MODEL_FOR_PRETRAINING",
    "MODEL_FOR_CAUSAL_LM",
    "MODEL_FOR_MASKED_LM",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION",
    "MODEL_FOR_TOKEN_CLASSIFICATION",
    "MODEL_FOR_QUESTION_ANSWERING",
    "MODEL_FOR_MULTIPLE_CHOICE",
    "MODEL_FOR_NEXT_SENTENCE_PREDICTION",
    "MODEL_FOR_TEXT_ENCODING",
)
FITTING = {"num_attention_heads", "n_heads", "encoder_attention_heads", "decoder_attention_heads"}  # that divide width
# what bears on no shape, what needs another field with it, and what would make another kind of model
NOT_CHANGED = {
    "is_encoder_decoder",
    "add_cross_attention",
    "is_decoder",
    "decoder_vocab_size",
    "id2label",
    "sparse_prediction",
    "sparse_pred_ignore_index",
    "relative_attention",
}
# the order of two sentences has two labels (we refuse others), and so have the ends of an answer (transformers does)
REFUSES_LABELS = ("AlbertForPreTraining", "DistilBertForQuestionAnswering")


def classes_of(model_type: str) -> list[str]:
    """The classes that transformers offers for a type."""
    from transformers.models.auto import modeling_auto  # noqa: PLC0415 - seconds

    found = [getattr(modeling_auto, f"{table}_MAPPING_NAMES").get(model_type) for table in TABLES]
    names = [name for entry in found if entry for name in ([entry] if isinstance(entry, str) else entry)]
    return list(dict.fromkeys(names))


def test_every_type_has_six_shapes():
    assert set(SHAPES) == set(encoders.READERS) | set(encoder_decoders.READERS)
    assert min(len(shapes) for shapes in SHAPES.values()) >= 6


@pytest.mark.parametrize("model_type", SHAPES)
def test_every_class_at_odd_shapes(model_type, built_and_counted):
    classes = classes_of(model_type)
    assert len(classes) >= 2
    for class_name in classes:
        for shape in SHAPES[model_type]:
            built, counted = built_and_counted(model_type, class_name, **shape)
            assert counted == built, (class_name, shape)


@pytest.mark.parametrize("model_type", SHAPES)
def test_labels(model_type, built_and_counted):
    for class_name in classes_of(model_type):
        if class_name in REFUSES_LABELS:
            continue
        shape = SHAPES[model_type][0] | {"num_labels": 7}
        built, counted = built_and_counted(model_type, class_name, **shape)
        assert counted == built, class_name


@pytest.mark.parametrize("model_type", SHAPES)
def test_the_default_shape(model_type, built_and_counted):
    for class_name in classes_of(model_type):
        built, counted = built_and_counted(model_type, class_name)
        assert counted == built, class_name


@pytest.mark.parametrize("model_type", SHAPES)
def test_each_switch_and_number_changed_alone(model_type, built_and_counted):
    """A field that bears on the shape and that no list above names would show here."""
    changed, base = 0, SHAPES[model_type][0]
    for name, value in {**default_values(model_type), **base}.items():
        if not isinstance(value, bool | int) or name in NOT_CHANGED or name.endswith("token_id"):
            continue
        shape = base | {name: not value if isinstance(value, bool) else 3 * value if name not in FITTING else 1}
        for class_name in classes_of(model_type):
            built, counted = built_and_counted(model_type, class_name, **shape)
            assert counted == built, (class_name, shape)
        changed += 1
    assert changed >= 6


def test_marian_with_two_untied_vocabularies(built_and_counted):
    apart = {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 70, "tie_word_embeddings": False}
    for class_name in ("MarianMTModel", "MarianModel"):
        built, counted = built_and_counted("marian", class_name, **BART, **apart)
        assert counted == built, class_name
