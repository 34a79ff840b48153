"""Executed FLOP of encoders and encoder-decoders against torch's counter over the eager classes, to the integer."""

from __future__ import annotations

import json

import pytest

from tonne.count.flops import attended_positions, executed_flop
from tonne.count.sequence import sequence_of
from tonne.describe.architecture import Architecture
from tonne.reference.huggingface import default_values

pytestmark = pytest.mark.slow  # transformers takes seconds to import

LENGTH, TARGET, WIDTH, LAYERS, ROWS = 13, 9, 24, 3, 2 * 7
END = 2  # the token that a sequence ends with, which some classes read their labels from
SIZES = {
    101: ("vocab_size",),
    WIDTH: ("hidden_size", "dim", "d_model"),
    LAYERS: ("num_hidden_layers", "n_layers", "decoder_layers", "num_layers"),
    2: ("encoder_layers", "encoder_attention_heads"),
    4: ("num_attention_heads", "n_heads", "num_heads", "decoder_attention_heads"),
    50: ("intermediate_size", "hidden_dim", "d_ff", "encoder_ffn_dim"),
    34: ("decoder_ffn_dim",),
    40: ("max_position_embeddings",),
    10: ("embedding_size",),
    11: ("d_kv",),
}
RELATIVE = {"relative_attention": True, "position_buckets": ROWS // 2, "max_relative_positions": ROWS // 2}
OUTPUTS = ("logits", "prediction_logits", "seq_relationship_logits", "sop_logits", "start_logits", "end_logits")

ENCODERS = [  # type, class, changes, objective, share of the positions that are predicted
    ("bert", "BertForMaskedLM", {}, "masked-lm"),
    ("bert", "BertForPreTraining", {"tie_word_embeddings": False}, "masked-lm+next-sentence"),
    ("bert", "BertForNextSentencePrediction", {}, "classification"),
    ("bert", "BertForSequenceClassification", {"num_labels": 5}, "classification"),
    ("bert", "BertForTokenClassification", {"num_labels": 5}, "token-classification"),
    ("bert", "BertForQuestionAnswering", {}, "question-answering"),
    ("bert", "BertLMHeadModel", {"is_decoder": True, "add_cross_attention": True}, "causal-lm"),
    ("roberta", "RobertaForSequenceClassification", {}, "classification"),
    ("mpnet", "MPNetForMaskedLM", {}, "masked-lm"),
    ("xlm-roberta-xl", "XLMRobertaXLForMaskedLM", {}, "masked-lm"),
    ("albert", "AlbertForMaskedLM", {"num_hidden_groups": 2, "inner_group_num": 2}, "masked-lm"),
    ("albert", "AlbertForSequenceClassification", {}, "classification"),
    ("electra", "ElectraForMaskedLM", {}, "masked-lm"),
    ("electra", "ElectraForPreTraining", {}, "token-classification"),
    ("electra", "ElectraForSequenceClassification", {}, "classification"),
    ("distilbert", "DistilBertForMaskedLM", {"sinusoidal_pos_embds": True}, "masked-lm"),
    ("distilbert", "DistilBertForSequenceClassification", {}, "classification"),
    ("modernbert", "ModernBertForMaskedLM", {"local_attention": 6}, "masked-lm"),
    ("modernbert", "ModernBertForSequenceClassification", {"local_attention": 6}, "classification"),
    ("modernbert", "ModernBertForTokenClassification", {}, "token-classification"),
    ("deberta-v2", "DebertaV2ForMaskedLM", {"conv_kernel_size": 3}, "masked-lm"),
    ("deberta", "DebertaForTokenClassification", {}, "token-classification"),
    ("deberta-v2", "DebertaV2ForSequenceClassification", {"embedding_size": 10}, "classification"),
    ("t5", "T5ForTokenClassification", {"feed_forward_proj": "gated-gelu"}, "token-classification"),
    ("bart", "BartForCausalLM", {"use_cache": False}, "causal-lm"),
    ("marian", "MarianForCausalLM", {"use_cache": False}, "causal-lm"),
]
ENCODER_DECODERS = [
    ("t5", "T5ForConditionalGeneration", {"num_decoder_layers": 5}, "seq2seq"),
    ("umt5", "UMT5ForConditionalGeneration", {"feed_forward_proj": "gated-gelu"}, "seq2seq"),
    ("mt5", "MT5ForQuestionAnswering", {}, "question-answering"),
    ("t5", "T5ForSequenceClassification", {}, "classification"),
    ("bart", "BartForConditionalGeneration", {}, "seq2seq"),
    ("bart", "BartForSequenceClassification", {}, "classification"),
    ("mbart", "MBartForQuestionAnswering", {}, "question-answering"),
    ("pegasus", "PegasusForConditionalGeneration", {}, "seq2seq"),
    ("blenderbot", "BlenderbotForConditionalGeneration", {}, "seq2seq"),
    ("blenderbot-small", "BlenderbotSmallForConditionalGeneration", {}, "seq2seq"),
    ("m2m_100", "M2M100ForConditionalGeneration", {"encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0}, "seq2seq"),
    ("marian", "MarianMTModel", {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 70}, "seq2seq"),
]


def small(model_type, changes):
    """Small sizes under the names that the type gives them."""
    known = default_values(model_type)
    sizes = {name: size for size, names in SIZES.items() for name in names if name in known}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END}
    return sizes | tokens | ({"decoder_start_token_id": 1} if "d_model" in sizes else {}) | changes


def counted_by_torch(model_type, class_name, shape, *, target=None):
    """FLOP of one forward and backward pass over one sequence. (On the meta device the masks cannot be made.)"""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    transformers.logging.set_verbosity_error()
    config = transformers.CONFIG_MAPPING[model_type](**shape)
    model = getattr(transformers, class_name)._from_config(config, attn_implementation="eager")

    def tokens(length):
        return torch.tensor([[3] * (length - 1) + [END]])

    decoder = {} if target is None else {"decoder_input_ids": tokens(target)}
    with FlopCounterMode(display=False) as counter:
        made = model(tokens(LENGTH), **decoder)
        sum(made[name].sum() for name in OUTPUTS if name in made).backward()
    return counter.get_total_flops()


def architecture_of(folder, model_type, class_name, shape):
    fields = {"model_type": model_type, "architectures": [class_name], **shape}
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    return Architecture.from_huggingface(folder)


@pytest.mark.parametrize(("model_type", "class_name", "changes", "objective"), ENCODERS)
def test_one_stack(model_type, class_name, changes, objective, tmp_path):
    shape = small(model_type, changes)
    architecture = architecture_of(tmp_path, model_type, class_name, shape)
    sequence = sequence_of(architecture, sequence_length=LENGTH, objective=objective, masked_fraction=1.0)
    assert executed_flop(architecture, sequence) == counted_by_torch(model_type, class_name, shape)


@pytest.mark.parametrize(("model_type", "class_name", "changes", "objective"), ENCODER_DECODERS)
def test_two_stacks_of_unequal_shape(model_type, class_name, changes, objective, tmp_path):
    shape = small(model_type, changes)
    target = LENGTH if class_name.endswith("Classification") else TARGET  # the ends of both are looked for together
    architecture = architecture_of(tmp_path, model_type, class_name, shape)
    lengths = {"source_length": LENGTH, "target_length": target}
    sequence = sequence_of(architecture, sequence_length=None, objective=objective, **lengths)
    assert executed_flop(architecture, sequence) == counted_by_torch(model_type, class_name, shape, target=target)


@pytest.mark.parametrize(
    ("model_type", "class_name", "changes", "projected"),
    [
        ("deberta-v2", "DebertaV2ForMaskedLM", {"pos_att_type": ["c2p", "p2c"]}, 2),
        ("deberta-v2", "DebertaV2ForMaskedLM", {"pos_att_type": ["c2p", "p2c"], "share_att_key": True}, 2),
        ("deberta-v2", "DebertaV2ForMaskedLM", {"pos_att_type": ["c2p"]}, 1),
        ("deberta", "DebertaForMaskedLM", {"pos_att_type": ["c2p", "p2c"]}, 2),
        ("deberta", "DebertaForMaskedLM", {"pos_att_type": ["p2c"]}, 1),
    ],
)
def test_relative_positions(model_type, class_name, changes, projected, tmp_path):
    """Beside what a sequence takes, a batch projects the table of positions once in every layer."""
    shape = small(model_type, RELATIVE | changes)
    architecture = architecture_of(tmp_path, model_type, class_name, shape)
    sequence = sequence_of(architecture, sequence_length=LENGTH, objective="masked-lm", masked_fraction=1.0)
    once = 3 * 2 * LAYERS * projected * ROWS * WIDTH * WIDTH
    assert executed_flop(architecture, sequence) + once == counted_by_torch(model_type, class_name, shape)


@pytest.mark.parametrize("window", [1, 4, 6, 7, 40])
def test_positions_attended_to_are_those_of_the_masks(window, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from transformers.masking_utils import create_bidirectional_sliding_window_mask  # noqa: PLC0415

    shape = small("modernbert", {"local_attention": window, "num_hidden_layers": 5})
    config = transformers.CONFIG_MAPPING["modernbert"](**shape)
    config._attn_implementation = "eager"
    states, tokens = torch.zeros(1, LENGTH, WIDTH), torch.ones(1, LENGTH)
    mask = create_bidirectional_sliding_window_mask(config=config, inputs_embeds=states, attention_mask=tokens)
    banded = LENGTH**2 if mask is None else int(mask.sum() if mask.dtype == torch.bool else (mask == 0).sum())
    full = config.layer_types.count("full_attention")
    architecture = architecture_of(tmp_path, "modernbert", "ModernBertForMaskedLM", shape)
    sequence = sequence_of(architecture, sequence_length=LENGTH)
    counted = attended_positions(architecture, sequence, 5, decoder=False, square=False)
    assert counted == full * LENGTH**2 + (5 - full) * banded
