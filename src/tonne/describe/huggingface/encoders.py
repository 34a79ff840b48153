"""Readers of config.json: encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonne.describe.huggingface import encoders_deberta
from tonne.describe.huggingface.config import Config, Head
from tonne.describe.huggingface.encoder_parts import label_head, language_head, lone_label, post_norm
from tonne.describe.huggingface.parts import windows
from tonne.errors import DescriptionError

SENTENCE_LABELS = 2  # next or not, in order or not
DISCRIMINATOR_LABELS = 1  # original or replaced
BERT_HEADS: tuple[Head, ...] = (
    "masked-lm",
    "base",
    "causal-lm",
    "pre-training",
    "next-sentence",
    "sequence-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
)
ROBERTA_HEADS: tuple[Head, ...] = tuple(head for head in BERT_HEADS if head not in ("pre-training", "next-sentence"))
LABELS_ONLY: tuple[Head, ...] = tuple(head for head in ROBERTA_HEADS if head != "causal-lm")
POOLED: tuple[Head, ...] = ("base", "pre-training", "next-sentence", "sequence-classification", "multiple-choice")
PADDING_ROW = 1  # RoBERTa's positions count from the row after that of the padding
FULL_EVERY = 3  # ModernBERT's layers that attend fully, where the file does not say
SUMMARY_LABELS = "summary_proj_to_labels"


def bert(config: Config) -> dict[str, Any]:
    """A pooler under what labels sequences; a dense layer, a norm and a bias before the tied output table."""
    fields, head = post_norm(config), config.head_among(*BERT_HEADS)
    fields |= {"token_types": config.number("type_vocab_size"), "pooler": head in POOLED}
    if head == "pre-training":
        return fields | language_head(config, own_bias=True) | {"next_sentence_head": True}
    if head == "next-sentence":
        return fields | {"task_head": {"labels": SENTENCE_LABELS}}
    if head in ("masked-lm", "causal-lm"):
        return fields | language_head(config, own_bias=True)
    return fields | label_head(config, head)


def roberta(config: Config) -> dict[str, Any]:
    """As BERT, but positions count from the row after the padding's, and sequences are labelled without a pooler."""
    return _roberta(config, ROBERTA_HEADS) | {"token_types": config.number("type_vocab_size")}


def mpnet(config: Config) -> dict[str, Any]:
    """As RoBERTa without segments, with one table of T5's relative positions beside that of positions."""
    return _roberta(config, LABELS_ONLY) | {"relative_buckets": config.number("relative_attention_num_buckets")}


def xlm_roberta_xl(config: Config) -> dict[str, Any]:
    """As RoBERTa with the norms before the blocks, and none on the embedding."""
    fields = {"embedding_norm": False, "norm_position": "pre", "final_norm": True}
    return roberta(config) | fields


def _roberta(config: Config, heads: tuple[Head, ...]) -> dict[str, Any]:
    fields, head = post_norm(config), config.head_among(*heads)
    padding = config.number_or_none("pad_token_id")
    offset = min((PADDING_ROW if padding is None else padding) + 1, fields["max_positions"] - 1)
    fields |= {"max_positions": fields["max_positions"] - offset, "position_offset": offset}
    fields |= {"pooler": head in ("base", "multiple-choice")}
    if head in ("masked-lm", "causal-lm"):
        return fields | language_head(config, own_bias=True)
    return fields | label_head(config, head, dense=head == "sequence-classification")


def albert(config: Config) -> dict[str, Any]:
    """A narrow token table, always projected; groups of layers that share their weights."""
    fields, head = post_norm(config), config.head_among(*(h for h in BERT_HEADS if h not in _NOT_OF_ALBERT))
    groups, inner = config.size("num_hidden_groups"), config.size("inner_group_num")
    fields |= {
        "layers": fields["layers"] * inner,
        "shared_layers": True,
        "distinct_layers": groups * inner,
        "embedding_width": config.size("embedding_size"),
        "embedding_projection_bias": True,
        "token_types": config.number("type_vocab_size"),
        "pooler": head in POOLED,
    }
    if head == "pre-training":
        return fields | language_head(config, own_bias=True) | _sentence_order(config)
    if head == "masked-lm":
        return fields | language_head(config, own_bias=True)
    return fields | label_head(config, head)


_NOT_OF_ALBERT: tuple[Head, ...] = ("causal-lm", "next-sentence")


def _sentence_order(config: Config) -> dict[str, Any]:
    if config.labels != SENTENCE_LABELS:
        raise DescriptionError(
            f"{config.file}: {config.class_name} with {config.labels} labels is not counted: the order of two "
            f"sentences has {SENTENCE_LABELS}. Leave num_labels and id2label out, or name another class."
        )
    return {"next_sentence_head": True}


def electra(config: Config) -> dict[str, Any]:
    """A token table projected where it is narrower; a generator's output table, or a discriminator's one label."""
    fields, head = post_norm(config), config.head_among(*(h for h in BERT_HEADS if h != "next-sentence"))
    fields |= {"token_types": config.number("type_vocab_size")}
    if config.size("embedding_size") != fields["width"]:
        fields |= {"embedding_width": config.size("embedding_size"), "embedding_projection_bias": True}
    if head in ("masked-lm", "causal-lm"):
        return fields | language_head(config, own_bias=False)
    if head == "pre-training":
        return fields | {"task_head": {"labels": DISCRIMINATOR_LABELS, "dense": True}}
    if head == "multiple-choice":
        return fields | {"task_head": lone_label(dense=_summary_projects(config))}
    return fields | label_head(config, head, dense=head == "sequence-classification")


def _summary_projects(config: Config) -> bool:
    if config.given.get(SUMMARY_LABELS):
        raise DescriptionError(
            f"{config.file}: {SUMMARY_LABELS} = true gives a summary that the choice's layer cannot read. Remove it."
        )
    return config.flag("summary_use_proj")


def distilbert(config: Config) -> dict[str, Any]:
    """BERT without segments and pooler. A sinusoidal table is stored and counts, though nothing learns it."""
    head = config.head_among(*LABELS_ONLY)
    fixed = config.flag("sinusoidal_pos_embds")
    fields = post_norm(config) | {"positions": "sinusoidal" if fixed else "learned", "stored_positions": fixed}
    if head == "masked-lm":
        return fields | language_head(config, own_bias=False)
    return fields | label_head(config, head, dense=head in ("sequence-classification", "multiple-choice"))


def modernbert(config: Config) -> dict[str, Any]:
    """Pre-norm, gated, rotary; windows but in every third layer, from the first on; a dense layer and a norm on top."""
    fields, head = post_norm(config), config.head_among(*LABELS_ONLY)
    layers, norm_bias = fields["layers"], config.flag("norm_bias")
    every = config.number_or_none("global_attn_every_n_layers", least=1) or FULL_EVERY
    fields |= {
        "feed_forward": "gated",
        "positions": "rotary",
        "norm_position": "pre",
        "final_norm": True,
        "first_norm": False,
        "norm_bias": norm_bias,
        "bias": _modernbert_biases(config),
        **windows(config, layers, config.size("local_attention"), list(range(0, layers, every))),
    }
    dense_bias = config.flag("classifier_bias")
    if head == "masked-lm":
        bias = {"prediction_dense_bias": dense_bias, "prediction_output_bias": config.flag("decoder_bias")}
        return fields | language_head(config, own_bias=False) | bias
    task = label_head(config, head, dense=True)
    if "task_head" in task:
        task["task_head"] |= {"dense_bias": dense_bias, "norm": True}
    return fields | task


def _modernbert_biases(config: Config) -> list[str] | bool:
    attention = ["query", "key", "value", "output"] if config.flag("attention_bias") else []
    feed_forward = ["feed_forward"] if config.flag("mlp_bias") else []
    return attention + feed_forward or False


READERS: dict[str, Callable[[Config], dict[str, Any]]] = {
    "albert": albert,
    "bert": bert,
    "camembert": roberta,
    "distilbert": distilbert,
    "electra": electra,
    "modernbert": modernbert,
    "mpnet": mpnet,
    "roberta": roberta,
    "xlm-roberta": roberta,
    "xlm-roberta-xl": xlm_roberta_xl,
    **encoders_deberta.READERS,
}
