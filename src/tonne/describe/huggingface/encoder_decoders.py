"""Readers of config.json: encoder-decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonne.describe.huggingface.config import ACTIVATIONS, Config, Head, shown
from tonne.describe.huggingface.encoder_parts import label_head
from tonne.errors import DescriptionError

T5_HEADS: tuple[Head, ...] = (
    "seq2seq",
    "base",
    "encoder",
    "sequence-classification",
    "token-classification",
    "question-answering",
)
TRANSLATORS: tuple[Head, ...] = ("seq2seq", "base")
WITH_DECODER: tuple[Head, ...] = (*TRANSLATORS, "causal-lm")
BART_HEADS: tuple[Head, ...] = (*WITH_DECODER, "sequence-classification", "question-answering")
BART_LABELS = 3  # where its file gives no number: natural language inference
ANSWER_LABELS = 2  # where a span starts and ends; set by the class, whatever the file says
POSITION_OFFSET = 2  # fairseq counts positions from 2, and keeps the rows before
UNTIED_TABLES = 3  # a shared one that nothing reads, the encoder's and the decoder's
OWN_TABLES = 2


def t5(config: Config) -> dict[str, Any]:
    """Pre-norm without biases, a table of relative positions a stack.

    transformers ties the output table to the token table in every class, whatever ``tie_word_embeddings`` says, so the
    count is that of one table. The published v1.1 weights hold two, and a preset such as ``t5-v1.1-base`` counts both.
    """
    head, layers = config.head_among(*T5_HEADS), config.size("num_layers")
    activation, gated = _feed_forward(config)
    fields = {
        "width": config.size("d_model", "hidden_size"),
        "heads": config.size("num_heads", "num_attention_heads"),
        "head_width": config.size("d_kv", "head_dim"),
        "feed_forward_width": config.size("d_ff"),
        "feed_forward": "gated" if gated else "plain",
        "activation": activation,
        "vocabulary": config.size("vocab_size"),
        "positions": "relative",
        "relative_buckets": config.number("relative_attention_num_buckets"),
        "norm": "rms",
        "norm_position": "pre",
        "bias": False,
        "tied_embeddings": True,
    }
    if head in ("encoder", "token-classification"):
        labels = {} if head == "encoder" else label_head(config, head)
        return fields | {"kind": "encoder", "layers": layers} | labels
    decoder_layers = config.number_or_none("num_decoder_layers", least=1)
    fields |= {
        "kind": "encoder-decoder",
        "encoder_layers": layers,
        "decoder_layers": layers if decoder_layers is None else decoder_layers,
    }
    if head in TRANSLATORS:
        return fields
    return fields | label_head(config, head, dense=head == "sequence-classification")


def umt5(config: Config) -> dict[str, Any]:
    """As T5, with a table of relative positions in every layer."""
    return t5(config) | {"relative_per_layer": True}


def _feed_forward(config: Config) -> tuple[str, bool]:
    """Activation and whether it is gated, from e.g. ``gated-gelu``."""
    word = config.word("feed_forward_proj")
    if config.given.get("is_gated_act") is True and not word.startswith("gated-"):
        raise DescriptionError(
            f"{config.file}: feed_forward_proj = {shown(word)} is not gated, but is_gated_act is true. Keep one of "
            f"them, e.g. feed_forward_proj: gated-{word}."
        )
    name = word.removeprefix("gated-")
    if name not in ACTIVATIONS:
        raise DescriptionError(
            f"{config.file}: feed_forward_proj = {shown(word)} is not known. Known: {', '.join(ACTIVATIONS)}, with or "
            f"without 'gated-' before it. Take the nearest of them: it changes no count."
        )
    return ACTIVATIONS[name], word != name


def bart(config: Config) -> dict[str, Any]:
    """Norms after the blocks and on the embeddings; learned positions, counted from 2."""
    fields = _two_stacks(config, BART_HEADS, labels=BART_LABELS)
    return fields | {"norm_position": "post", "final_norm": False, "embedding_norm": True, **_learned(config)}


def mbart(config: Config) -> dict[str, Any]:
    """As BART, with the norms before the blocks and one after each stack."""
    fields = _two_stacks(config, BART_HEADS) | _learned(config)
    return fields | {"norm_position": "pre", "final_norm": True, "embedding_norm": True}


def blenderbot(config: Config) -> dict[str, Any]:
    """Norms before the blocks, learned positions counted from 0."""
    learned = _learned(config) | {"position_offset": 0}
    return _two_stacks(config, WITH_DECODER) | {"norm_position": "pre", "final_norm": True, **learned}


def blenderbot_small(config: Config) -> dict[str, Any]:
    """As BART, with positions counted from 0."""
    fields = _two_stacks(config, WITH_DECODER) | _learned(config)
    return fields | {"norm_position": "post", "final_norm": False, "embedding_norm": True, "position_offset": 0}


def pegasus(config: Config) -> dict[str, Any]:
    """Norms before the blocks. Both sinusoidal tables are stored and count, though nothing learns them."""
    fields = _two_stacks(config, WITH_DECODER) | _stored(config)
    return fields | {"norm_position": "pre", "final_norm": True}


def m2m_100(config: Config) -> dict[str, Any]:
    """Norms before the blocks. The sinusoidal tables are computed, and do not count."""
    fields = _two_stacks(config, TRANSLATORS) | _stored(config) | {"stored_positions": False}
    return fields | {"norm_position": "pre", "final_norm": True}


def marian(config: Config) -> dict[str, Any]:
    """Norms after the blocks. Both sinusoidal tables are stored and count, though nothing learns them.

    Without ``share_encoder_decoder_embeddings`` each stack has a token table of its own.
    """
    fields = _two_stacks(config, WITH_DECODER) | _stored(config)
    fields |= {"norm_position": "post", "final_norm": False}
    shared = config.flag("share_encoder_decoder_embeddings")
    own = config.number_or_none("decoder_vocab_size") or fields["vocabulary"]
    if own != fields["vocabulary"] and (shared or (fields["kind"] == "decoder" and not fields["tied_embeddings"])):
        raise DescriptionError(
            f"{config.file}: decoder_vocab_size = {own} is not vocab_size = {fields['vocabulary']}, but one table (or "
            f"an output table without a decoder_vocab_size) serves both. Make them equal, or set "
            f"share_encoder_decoder_embeddings to false and tie_word_embeddings to true."
        )
    if fields["kind"] == "decoder":
        return fields | {"vocabulary": own}
    return fields if shared else fields | {"token_tables": OWN_TABLES, "decoder_vocabulary": own}


def _two_stacks(config: Config, heads: tuple[Head, ...], *, labels: int | None = None) -> dict[str, Any]:
    """Both stacks with their own shapes; the decoder alone, with an idle cross-attention, for a causal model.

    Untied, transformers stores three token tables: one that was to be shared, and one a stack.
    """
    head, tied = config.head_among(*heads), config.flag("tie_word_embeddings")
    width = config.size("d_model", "hidden_size")
    fields: dict[str, Any] = {
        "width": width,
        "feed_forward": "plain",
        "activation": config.activation("activation_function"),
        "vocabulary": config.size("vocab_size"),
        "norm": "layer",
        "bias": True,
        "tied_embeddings": tied or head not in ("seq2seq", "causal-lm"),
    }
    encoder, decoder = (_stack(config, side, width) for side in ("encoder", "decoder"))
    if head == "causal-lm":
        return fields | {"kind": "decoder", **decoder, "idle_cross_attention": True}
    fields |= {
        "kind": "encoder-decoder",
        "encoder_layers": encoder.pop("layers"),
        "decoder_layers": decoder.pop("layers"),
        **encoder,
        "token_tables": 1 if tied else UNTIED_TABLES,
    }
    fields |= {f"decoder_{name}": value for name, value in decoder.items() if value != encoder[name]}
    if head in TRANSLATORS:
        return fields
    if head == "question-answering":
        return fields | label_head(config, head, labels=ANSWER_LABELS)
    given = any(config.given.get(name) is not None for name in ("id2label", "num_labels"))
    return fields | label_head(config, head, dense=True, labels=None if given else labels)


def _stack(config: Config, side: str, width: int) -> dict[str, Any]:
    heads = f"{side}_attention_heads"
    return {
        "layers": config.size(f"{side}_layers"),
        "heads": config.divisor(width, heads, default=config.size(heads)),
        "feed_forward_width": config.size(f"{side}_ffn_dim"),
    }


def _learned(config: Config) -> dict[str, Any]:
    rows = config.size("max_position_embeddings")
    return {"positions": "learned", "max_positions": rows, "position_offset": POSITION_OFFSET}


def _stored(config: Config) -> dict[str, Any]:
    rows = config.size("max_position_embeddings")
    return {"positions": "sinusoidal", "max_positions": rows, "stored_positions": True}


READERS: dict[str, Callable[[Config], dict[str, Any]]] = {
    "bart": bart,
    "blenderbot": blenderbot,
    "blenderbot-small": blenderbot_small,
    "m2m_100": m2m_100,
    "marian": marian,
    "mbart": mbart,
    "mt5": t5,
    "pegasus": pegasus,
    "t5": t5,
    "umt5": umt5,
}
