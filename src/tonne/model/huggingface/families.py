"""Which class of transformers a model can be written as: one whose config.json, read back, describes the same model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from tonne.describe.architecture import Architecture
from tonne.describe.huggingface.config import Config, config_of
from tonne.describe.huggingface.reading import fields_of
from tonne.errors import DescriptionError, WeightsError
from tonne.model.huggingface.configs import WRITERS, full_layers

CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gpt2": (
            "GPT2LMHeadModel",
            "GPT2ForSequenceClassification",
            "GPT2ForTokenClassification",
            "GPT2ForQuestionAnswering",
            "GPT2Model",
        ),
        "bert": (
            "BertForPreTraining",
            "BertForMaskedLM",
            "BertForSequenceClassification",
            "BertForTokenClassification",
            "BertForQuestionAnswering",
            "BertForNextSentencePrediction",
            "BertModel",
        ),
        "t5": (
            "T5ForConditionalGeneration",
            "T5EncoderModel",
            "T5ForSequenceClassification",
            "T5ForTokenClassification",
            "T5ForQuestionAnswering",
            "T5Model",
        ),
        "bart": (
            "BartForConditionalGeneration",
            "BartForSequenceClassification",
            "BartForQuestionAnswering",
            "BartModel",
        ),
        **{
            model_type: tuple(
                f"{name}{ending}"
                for ending in (
                    "ForCausalLM",
                    "ForSequenceClassification",
                    "ForTokenClassification",
                    "ForQuestionAnswering",
                    "Model",
                )
            )
            for model_type, name in (("llama", "Llama"), ("mistral", "Mistral"), ("qwen2", "Qwen2"))
        },
    }
)  # a model is written as the first that fits
CONFIG = Path("config.json")  # named in messages about what was written and is read back
READ_BY_NOBODY = frozenset({"initial_std"})
SCALED_BY_ROTATION = (
    "rotary_base",
    "rotary_width",
    "rotary_interleaved",
    "rotary_scaling",
    "window_rotary_base",
    "unrotated_layers",
)
WINDOW_FIELDS = ("window_every", "window_first_full", "full_attention_layers")


@dataclass(frozen=True, slots=True)
class Written:
    """A config.json, and which fields of the Architecture it does not say: (ours, as it would be read)."""

    config: Config
    differences: Mapping[str, tuple[Any, Any]]


def read_architecture(config: Config) -> Architecture:
    """The Architecture of a configuration that was read."""
    return Architecture.model_validate(fields_of(config))


def config_for(architecture: Architecture, class_name: str | None) -> Config:
    """The config.json that transformers builds the same model from.

    Args:
        architecture: The model's.
        class_name: The class to write; None: the first that fits.

    Raises:
        WeightsError: No class that is known can say all of it; the fields are named, for the nearest class.
    """
    tried = list(_tried(architecture, class_name))
    for written in tried:
        if not written.differences:
            return written.config
    if not tried:
        raise WeightsError(
            f"kind={architecture.kind!r}, positions={architecture.positions!r}: no class that is known has such a "
            f"model. Known: {', '.join(WRITERS)}. Save its state_dict instead."
        )
    nearest = min(tried, key=lambda written: len(_told(written.differences)))
    wrong = "; ".join(
        f"{name}={ours!r} would become {read!r}" for name, (ours, read) in _told(nearest.differences).items()
    )
    raise WeightsError(
        f"No class of transformers that is known ({', '.join(WRITERS)}) builds this model. Nearest is "
        f"{nearest.config.class_name}, where {wrong}. Change these fields, or save the state_dict instead."
    )


def _told(differences: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """Fields that differ; of one that has fields of its own, such as a head, those of them that do."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, (ours, read) in differences.items():
        if isinstance(ours, Mapping) or isinstance(read, Mapping):
            a, b = ours or {}, read or {}
            inner = {f"{name}.{key}": (a.get(key), b.get(key)) for key in {**a, **b}}
            found |= {key: pair for key, pair in inner.items() if pair[0] != pair[1]}
        else:
            found[name] = (ours, read)
    return found


def _tried(a: Architecture, class_name: str | None) -> Iterator[Written]:
    for model_type, classes in CLASSES.items():
        for name in classes:
            if class_name in (None, name):
                written = _written(a, model_type, name)
                if written is not None:
                    yield written
    if class_name is not None and not any(class_name in classes for classes in CLASSES.values()):
        known = ", ".join(name for classes in CLASSES.values() for name in classes)
        raise WeightsError(f"class_name={class_name!r} cannot be written. Known: {known}.")


def _written(a: Architecture, model_type: str, class_name: str) -> Written | None:
    """The architecture in the words of one class; None where that has no such fields at all."""
    given = {"model_type": model_type, "architectures": [class_name], **WRITERS[model_type](a), **_labels(a)}
    config = config_of(given, CONFIG)
    try:
        read = read_architecture(config)
    except (DescriptionError, ValidationError):
        return None
    ours, theirs = told(a), told(read)
    if model_type == "t5":
        ours.pop("tied_embeddings"), theirs.pop("tied_embeddings")  # told by the weights: see from_huggingface
    names = [name for name in ours | theirs if not _same(ours.get(name), theirs.get(name))]
    return Written(config, {name: (ours.get(name), theirs.get(name)) for name in names})


def _labels(a: Architecture) -> dict[str, Any]:
    if a.task_head is None:
        return {}
    names = [f"LABEL_{number}" for number in range(a.task_head.labels)]
    return {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }


def _same(ours: Any, theirs: Any) -> bool:  # noqa: ANN401 - any field's value
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-12)
    return bool(ours == theirs)


def told(a: Architecture) -> dict[str, Any]:
    """All fields that change the model, each said in one way: what two descriptions of one model agree in."""
    fields = {name: value for name, value in a.model_dump().items() if name not in READ_BY_NOBODY}
    fields["bias"] = sorted(a.LINEARS if a.bias is True else a.bias or ())
    fields["full_attention_layers"] = sorted(full_layers(a))
    fields["attention_scale"] = a.head_width**-0.5 if a.attention_scale is None else a.attention_scale
    fields["norm_bias"] = a.norm_bias and a.norm_weight
    unread = {"window_every", "window_first_full"}
    if a.positions != "learned" and not a.stored_positions:
        unread.add("max_positions")
    if a.positions != "rotary":
        unread |= set(SCALED_BY_ROTATION)
    if not a.relative_buckets:
        unread.add("relative_max_distance")
    if a.activation != "gelu" and not a.prediction_head:
        unread.add("gelu_approximation")
    if not a.pooler:
        unread.add("pooler_activation")
    return {name: value for name, value in fields.items() if name not in unread}
