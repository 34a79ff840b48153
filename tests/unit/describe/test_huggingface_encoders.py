"""Encoders' and encoder-decoders' config.json: counts by hand, windows by hand, and what is refused."""

from __future__ import annotations

import json

import pytest

from tonne.count.flops import attended_positions, full_layers
from tonne.count.parameters import parameter_parts, parameters
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture
from tonne.errors import DescriptionError

BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "vocab_size": 30,
    "max_position_embeddings": 16,
    "type_vocab_size": 3,
}
LAYER = 4 * (64 + 8) + (2 * 160 + 20 + 8) + 2 * 16  # attention, feed-forward, norms
BODY = (30 + 16 + 3) * 8 + 16 + 2 * LAYER
POOLER = 64 + 8
BART = {
    "model_type": "bart",
    "architectures": ["BartModel"],
    "d_model": 8,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 10,
    "vocab_size": 30,
    "max_position_embeddings": 16,
}
DECODER_LAYER = 2 * 4 * (64 + 8) + (2 * 80 + 10 + 8) + 3 * 16


@pytest.fixture
def read(tmp_path):
    def of(fields, **changes):
        (tmp_path / "config.json").write_text(json.dumps(fields | changes), encoding="utf-8")
        return Architecture.from_huggingface(tmp_path)

    return of


@pytest.mark.parametrize(
    ("class_name", "on_top"),
    [
        ("BertModel", POOLER),
        ("BertForMaskedLM", 64 + 8 + 16 + 30),
        ("BertLMHeadModel", 64 + 8 + 16 + 30),
        ("BertForPreTraining", POOLER + 64 + 8 + 16 + 30 + 2 * 8 + 2),
        ("BertForNextSentencePrediction", POOLER + 2 * 8 + 2),
        ("BertForSequenceClassification", POOLER + 5 * 8 + 5),
        ("BertForTokenClassification", 5 * 8 + 5),
        ("BertForMultipleChoice", POOLER + 8 + 1),
    ],
)
def test_bert_by_hand(read, class_name, on_top):
    assert parameters(read(BERT, architectures=[class_name], num_labels=5)) == BODY + on_top


def test_an_untied_output_table_has_a_bias_of_its_own(read):
    tied = read(BERT, architectures=["BertForMaskedLM"])
    untied = read(BERT, architectures=["BertForMaskedLM"], tie_word_embeddings=False)
    assert parameters(untied) - parameters(tied) == 30 * 8 + 30


def test_no_class_means_the_language_model(read):
    assert read(BERT, architectures=None) == read(BERT, architectures=["BertForMaskedLM"])


def test_labels_are_those_of_id2label(read):
    named = read(BERT, architectures=["BertForTokenClassification"], id2label={"0": "a", "1": "b", "2": "c"})
    assert parameter_parts(named)["task_head"] == 3 * 8 + 3


def test_a_decoder_is_causal(read):
    assert read(BERT).kind == "encoder"
    assert read(BERT, is_decoder=True).kind == "decoder"
    reading = read(BERT, is_decoder=True, add_cross_attention=True)
    assert parameters(reading) == BODY + POOLER + 2 * (4 * (64 + 8) + 16)


def test_rows_before_the_first_position_of_roberta(read):
    roberta = read(BERT, model_type="roberta", architectures=["RobertaModel"])
    assert (roberta.max_positions, roberta.position_offset) == (14, 2)
    assert parameters(roberta) == BODY + POOLER


def test_groups_of_albert_by_hand(read):
    fields = BERT | {"model_type": "albert", "architectures": ["AlbertModel"], "embedding_size": 4}
    albert = read(fields, num_hidden_layers=6, num_hidden_groups=2, inner_group_num=3)
    assert albert.layers == 18
    table, projection = (30 + 16 + 3) * 4 + 8, 4 * 8 + 8
    assert parameters(albert) == table + projection + 6 * LAYER + POOLER


def test_discriminator_and_generator_of_electra_by_hand(read):
    fields = BERT | {"model_type": "electra", "embedding_size": 4}
    table = (30 + 16 + 3) * 4 + 8 + 4 * 8 + 8
    discriminator = read(fields, architectures=["ElectraForPreTraining"])
    assert parameters(discriminator) == table + 2 * LAYER + 64 + 8 + 8 + 1
    generator = read(fields, architectures=["ElectraForMaskedLM"])
    assert parameters(generator) == table + 2 * LAYER + 8 * 4 + 4 + 8 + 30


def test_modernbert_by_hand_and_its_windows(read):
    fields = BERT | {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"], "num_hidden_layers": 7}
    modern = read(fields, local_attention=4)
    layer = 4 * 64 + 3 * 160 + 2 * 8  # no biases, norms without one
    head = 64 + 8 + 30
    assert parameters(modern) == 30 * 8 + 8 + 7 * layer - 8 + 8 + head  # no norm in the first, one at the end
    assert full_layers(modern, 7) == 3  # layers 0, 3 and 6
    # nine tokens, two to either side: 5 x 9 - 2 (1 + 2)
    positions = attended_positions(modern, Sequence(encoder_length=9), 7, decoder=False, square=False)
    assert positions == 3 * 81 + 4 * (45 - 6)
    named = read(fields, local_attention=4, layer_types=["full_attention"] * 5 + ["sliding_attention"] * 2)
    assert full_layers(named, 7) == 5


def test_deberta_by_hand(read):
    fields = BERT | {"model_type": "deberta-v2", "architectures": ["DebertaV2Model"], "type_vocab_size": 0}
    bare = (30 + 16) * 8 + 16 + 2 * LAYER
    assert parameters(read(fields)) == bare
    relative = {"relative_attention": True, "pos_att_type": "c2p|p2c"}
    assert parameters(read(fields, **relative)) == bare + 32 * 8 + 2 * 2 * (64 + 8)
    third = relative | {"position_biased_input": False, "position_buckets": 5, "share_att_key": True}
    norm = {"norm_rel_ebd": "layer_norm"}
    assert parameters(read(fields, **third, **norm)) == bare - 16 * 8 + 10 * 8 + 16
    convolution = {"conv_kernel_size": 3, "conv_groups": 2}
    assert parameters(read(fields, **convolution)) == bare + 3 * 32 + 8 + 16
    older = read(fields | {"model_type": "deberta", "architectures": ["DebertaModel"]}, **relative)
    assert parameters(older) == bare - 2 * 8 + 32 * 8 + 2 * (2 * 64 + 8)  # keys have no bias, nor has one projection


def test_bart_by_hand(read):
    stacks = 2 * LAYER + 3 * DECODER_LAYER
    tables = 30 * 8 + 2 * (18 * 8 + 16)
    assert parameters(read(BART)) == tables + stacks
    untied = read(BART, architectures=["BartForConditionalGeneration"], tie_word_embeddings=False)
    assert parameters(untied) == tables + stacks + 2 * 240 + 240
    assert parameters(read(BART, architectures=["BartForCausalLM"])) == 240 + 144 + 16 + 3 * DECODER_LAYER
    natural = read(BART, architectures=["BartForSequenceClassification"])  # three labels where the file names none
    assert parameters(natural) == tables + stacks + 64 + 8 + 3 * 8 + 3


def test_norms_and_positions_of_the_other_translators(read):
    stacks = 2 * LAYER + 3 * DECODER_LAYER
    mbart = read(BART, model_type="mbart", architectures=["MBartModel"])
    assert parameters(mbart) == 240 + 2 * (18 * 8 + 16) + stacks + 2 * 16
    pegasus = read(BART, model_type="pegasus", architectures=["PegasusModel"])
    assert parameters(pegasus) == 240 + 2 * 16 * 8 + stacks + 2 * 16  # the sinusoidal tables are stored
    m2m = read(BART, model_type="m2m_100", architectures=["M2M100Model"])
    assert parameters(m2m) == 240 + stacks + 2 * 16  # these are not
    marian = read(BART, model_type="marian", architectures=["MarianMTModel"])
    assert parameters(marian) == 240 + 2 * 16 * 8 + stacks
    own = {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 20}
    apart = read(BART, model_type="marian", architectures=["MarianMTModel"], **own)
    assert parameters(apart) == parameters(marian) + 20 * 8


def test_t5_by_hand(read):
    t5 = {
        "model_type": "t5",
        "d_model": 8,
        "d_kv": 3,
        "d_ff": 20,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": 30,
        "relative_attention_num_buckets": 6,
    }
    attention, feed_forward = 4 * 8 * 12 + 8, 2 * 160 + 8
    encoder, decoder = attention + feed_forward, 2 * attention + feed_forward
    whole = 240 + 2 * 24 + 2 * 8
    assert parameters(read(t5)) == whole + 2 * encoder + 2 * decoder
    assert parameters(read(t5, tie_word_embeddings=False)) == parameters(read(t5))  # as transformers does
    assert parameters(read(t5, num_decoder_layers=5)) == whole + 2 * encoder + 5 * decoder
    assert parameters(read(t5, feed_forward_proj="gated-gelu")) == whole + 2 * encoder + 2 * decoder + 4 * 160
    alone = read(t5, architectures=["T5EncoderModel"])
    assert (alone.kind, parameters(alone)) == ("encoder", 240 + 24 + 8 + 2 * encoder)
    every_layer = read(t5 | {"model_type": "umt5"}, feed_forward_proj="relu")
    assert parameters(every_layer) == parameters(read(t5)) + 2 * 24


DEBERTA = {"model_type": "deberta-v2", "architectures": None}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": None}, "hidden_size = null is not a whole number, 1 or more"),
        ({"num_hidden_layers": "two"}, 'num_hidden_layers = "two" is not a whole number'),
        ({"num_attention_heads": None}, "num_attention_heads = null is not a whole number"),
        ({"vocab_size": 0}, "vocab_size = 0 is not a whole number, 1 or more"),
        (DEBERTA | {"relative_attention": True, "pos_att_type": 3}, "pos_att_type = 3 is not a list of some of c2p"),
        (DEBERTA | {"relative_attention": True, "share_att_key": 1}, "share_att_key = 1 is not true or false"),
        (BART | {"decoder_attention_heads": None}, "decoder_attention_heads = null is not a whole number"),
        ({"num_attention_heads": 3}, "num_attention_heads = 3 does not divide 8"),
        ({"hidden_act": "tanh"}, "hidden_act = 'tanh' is not a known activation"),
        ({"tie_word_embeddings": 1, "architectures": None}, "tie_word_embeddings = 1 is not true or false"),
        ({"architectures": ["BertForImages"]}, "names BertForImages, whose head is not known"),
        ({"architectures": ["BertForConditionalGeneration"]}, "is not counted for bert"),
        ({"add_cross_attention": True}, "add_cross_attention = true needs is_decoder = true"),
        (
            DEBERTA | {"relative_attention": True, "pos_att_type": ["c2c"]},
            "pos_att_type = .* is not a list of some of c2p",
        ),
        (DEBERTA | {"pooler_hidden_size": 9}, "pooler_hidden_size = 9 does not fit"),
        (DEBERTA | {"conv_kernel_size": 4}, "conv_kernel_size = 4 is even"),
        (DEBERTA | {"conv_kernel_size": "wide"}, 'conv_kernel_size = "wide" is not a whole number'),
        (DEBERTA | {"conv_kernel_size": 3, "conv_groups": 3}, "conv_groups = 3 does not divide 8"),
        (DEBERTA | {"legacy": False, "embedding_size": 4}, "legacy = false needs embedding_size = hidden_size"),
        ({"model_type": "deberta", "architectures": None, "talking_head": True}, "talking_head = true"),
        (
            {"model_type": "modernbert", "architectures": None, "layer_types": ["full"]},
            "layer_types is not a list of 2",
        ),
        ({"model_type": "albert", "architectures": ["AlbertForPreTraining"], "num_labels": 3}, "with 3 labels is not"),
        ({"model_type": "t5", "architectures": None, "feed_forward_proj": "gated"}, 'feed_forward_proj = "gated"'),
        (BART | {"encoder_attention_heads": 3}, "encoder_attention_heads = 3 does not divide 8"),
        (BART | {"architectures": ["BartForMaskedLM"]}, "is not counted for bart"),
        (BART | {"model_type": "marian", "architectures": None, "decoder_vocab_size": 9}, "decoder_vocab_size = 9"),
    ],
)
def test_what_is_refused_says_which_field(read, fields, message):
    with pytest.raises(DescriptionError, match=rf"config\.json: .*{message}"):
        read(BERT, **fields)
