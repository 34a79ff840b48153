"""Which names serve which model type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from tonne.model.huggingface.names_bart import bart
from tonne.model.huggingface.names_bert import bert
from tonne.model.huggingface.names_gpt2 import gpt2
from tonne.model.huggingface.names_llama import llama, mistral
from tonne.model.huggingface.names_t5 import t5

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.huggingface.config import Config, Head
    from tonne.model.huggingface.places import Layout

LAYOUTS: Mapping[str, Callable[[Architecture, Head], Layout]] = MappingProxyType(
    {
        "bart": bart,
        "bert": bert,
        "gpt2": gpt2,
        "llama": llama,
        "mistral": mistral,
        "qwen2": llama,
        "t5": t5,
    }
)
DEFAULT_HEADS: Mapping[str, Head] = MappingProxyType({"bart": "seq2seq", "bert": "masked-lm", "t5": "seq2seq"})


def layout_of(architecture: Architecture, config: Config) -> Layout:
    """The places of the class that a config.json names; of the type's language model where it names none."""
    head = config.head or DEFAULT_HEADS.get(config.model_type, "causal-lm")
    return LAYOUTS[config.model_type](architecture, head)
