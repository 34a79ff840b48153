"""What a config.json says that changes results but no count: epsilons, the form of GELU, scales, rotary positions.

It is read for the model types whose classes are compared with ours, logit by logit: see ``READERS``. For the others
the defaults of Architecture stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tonne.describe.huggingface import rotary as positions
from tonne.describe.huggingface.config import Config, shown
from tonne.describe.huggingface.numerics_decoders import READERS as DECODERS
from tonne.describe.huggingface.numerics_parts import Fields, epsilon, gelu, layer_norm_default, scaled_embedding
from tonne.errors import DescriptionError
from tonne.reference.huggingface import default_values

ACTIVATION_NAMES = ("hidden_act", "activation_function", "feed_forward_proj", "dense_act_fn")


def numerics(config: Config, fields: Fields) -> Fields:
    """Fields of Numerics that the file sets, beside those of the shape; none for a type that is only counted."""
    reader = READERS.get(config.model_type)
    return {} if reader is None else reader(config, fields)


def numerics_of_type(model_type: str, fields: Fields) -> Fields:
    """The same for a published model of that type, whose shape is known and of which no file is at hand.

    What a type leaves to each model, such as the base of rotary positions, is the type's default.
    """
    gate = "gated-" if fields.get("feed_forward") == "gated" else ""
    given = {
        "tie_word_embeddings": fields.get("tied_embeddings", True),
        "feed_forward_proj": f"{gate}{fields.get('activation', 'gelu')}",
    }
    rows = fields.get("relative_rows", 0)  # DeBERTa's: fewer than two a position where distances share them
    if 0 < rows < 2 * fields.get("max_positions", 0):
        given["position_buckets"] = rows // 2
    config = Config(
        file=model_type, model_type=model_type, class_name=None, given=given, defaults=default_values(model_type)
    )
    return numerics(config, fields)


def not_held(config: Config) -> list[str]:
    """What the file asks for and no field of Architecture holds, as ``name = value``; its weights would be misread."""
    clipped = [name for name in ACTIVATION_NAMES if str(config.given.get(name)).endswith("gelu_10")]
    found = [f"{name} = {shown(config.given[name])}" for name in clipped]
    if config.given.get("position_embedding_type", "absolute") != "absolute":
        found.append(f"position_embedding_type = {shown(config.given['position_embedding_type'])}")
    return found + positions.not_held(config)


def bert(config: Config, _: Fields) -> Fields:
    """One epsilon and one activation, also in the head of the masked language model."""
    return epsilon(config) | gelu(config.word("hidden_act"))


def deberta_v2(config: Config, fields: Fields) -> Fields:
    """As BERT; with buckets, distances beyond a quarter of the table share rows."""
    found = bert(config, fields)
    buckets = config.given.get("position_buckets")
    if isinstance(buckets, int) and buckets > 0:
        longest = config.given.get("max_relative_positions", -1)
        longest = longest if isinstance(longest, int) and longest > 0 else config.size("max_position_embeddings")
        found["relative_log_distance"] = longest
    return found


def modernbert(config: Config, fields: Fields) -> Fields:
    """As BERT, with rotary positions of two bases."""
    turned = positions.rotary(config, fields["width"] // fields["heads"])
    return epsilon(config) | gelu(config.word("hidden_activation")) | turned


def t5(config: Config, fields: Fields) -> Fields:
    """Scores are not scaled. The states are, before the output table, unless the file unties it.

    transformers ties the tables all the same; a file that it wrote says ``scale_decoder_outputs`` in so many words.
    """
    untied = config.given.get("tie_word_embeddings") is False
    scaled = config.given.get("scale_decoder_outputs", not untied)
    if not isinstance(scaled, bool):
        raise DescriptionError(
            f"{config.file}: scale_decoder_outputs = {shown(scaled)} is not true or false. Mend it, or leave it out."
        )
    word = config.word("feed_forward_proj")
    inner = config.given.get("dense_act_fn") or ("gelu_new" if word == "gated-gelu" else word.removeprefix("gated-"))
    return {
        **epsilon(config),
        "attention_scale": 1.0,
        "relative_max_distance": config.size("relative_attention_max_distance"),
        **gelu(inner),
        **({"output_scale": fields["width"] ** -0.5} if scaled else {}),
    }


def umt5(config: Config, fields: Fields) -> Fields:
    """As T5's first version, which scales the states."""
    return t5(config, fields) | {"output_scale": fields["width"] ** -0.5}


def mt5(config: Config, fields: Fields) -> Fields:
    """As T5's newer version, which does not."""
    return t5(config, fields) | {"output_scale": 1.0}


def switch_transformers(config: Config, fields: Fields) -> Fields:
    """As T5's first version, with the activation under a name of its own."""
    return {
        **epsilon(config),
        "attention_scale": 1.0,
        "relative_max_distance": config.size("relative_attention_max_distance"),
        **gelu(config.word("dense_act_fn")),
        **({"output_scale": fields["width"] ** -0.5} if fields["tied_embeddings"] else {}),
    }


def bart(config: Config, fields: Fields) -> Fields:
    """Token vectors are multiplied by the root of the width, where it is switched on."""
    return layer_norm_default() | gelu(config.word("activation_function")) | scaled_embedding(config, fields)


def marian(config: Config, fields: Fields) -> Fields:
    """As BART, with all sines before all cosines."""
    return bart(config, fields) | {"sinusoidal_order": "halves"}


def m2m_100(config: Config, fields: Fields) -> Fields:
    """As BART, with fairseq's sinusoids, whose positions count from 2."""
    return bart(config, fields) | {"sinusoidal_order": "fairseq", "position_offset": 2}


READERS: Mapping[str, Callable[[Config, Fields], Fields]] = MappingProxyType(
    {
        **DECODERS,
        "albert": bert,
        "bart": bart,
        "bert": bert,
        "camembert": bert,
        "deberta-v2": deberta_v2,
        "electra": bert,
        "m2m_100": m2m_100,
        "marian": marian,
        "mbart": bart,
        "modernbert": modernbert,
        "mpnet": bert,
        "mt5": mt5,
        "pegasus": marian,
        "roberta": bert,
        "switch_transformers": switch_transformers,
        "t5": t5,
        "umt5": umt5,
        "xlm-roberta": bert,
    }
)
