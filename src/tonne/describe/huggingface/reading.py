"""Which reader serves which model type."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tonne.describe.huggingface import decoders, encoder_decoders, encoders, experts
from tonne.describe.huggingface.config import Config, read_config
from tonne.describe.huggingface.numerics import numerics
from tonne.errors import DescriptionError

Reader = Callable[[Config], dict[str, Any]]

READERS: Mapping[str, Reader] = MappingProxyType(
    decoders.READERS | experts.READERS | encoders.READERS | encoder_decoders.READERS
)


def model_types() -> tuple[str, ...]:
    """Model types of transformers that can be read, by name."""
    return tuple(sorted(READERS))


def architecture_fields(path: str | Path) -> dict[str, Any]:
    """Fields of the Architecture of a config.json.

    Args:
        path: The file, or the folder that it lies in.

    Returns:
        What ``Architecture.model_validate`` takes. The parameters are those of the class that the file names in
        ``architectures``; where it names none, of the model type's language model.

    Raises:
        PlanFileError: The file is missing, or is not JSON.
        DescriptionError: The model type, the class or a value is not known.
    """
    return fields_of(read_config(path))


def fields_of(config: Config) -> dict[str, Any]:
    """Fields of the Architecture of a configuration that was read: its shape, and what changes results alone.

    Raises:
        DescriptionError: The model type, the class or a value is not known.
    """
    reader = READERS.get(config.model_type)
    if reader is None:
        raise DescriptionError(_unknown(config))
    if isinstance(config.given.get("text_config"), dict):
        raise DescriptionError(
            f"{config.file}: {config.model_type!r} reads no text_config, and takes its own defaults for what stands "
            f"there. Save the text_config as a file of its own, with its model_type, or write its fields beside "
            f"model_type."
        )
    fields = reader(config)
    return fields | numerics(config, fields)


def _unknown(config: Config) -> str:
    text = config.given.get("text_config")
    if isinstance(text, dict) and text.get("model_type") in READERS:
        return (
            f"{config.file}: model_type {config.model_type!r} holds more than a language model, and the rest of it is "
            f"not counted. Save its text_config (model_type {text['model_type']!r}) as a file of its own to count the "
            f"language model alone."
        )
    close = difflib.get_close_matches(config.model_type, READERS, n=3, cutoff=0.6)
    hint = f"Close: {', '.join(close)}. " if close else ""
    return (
        f"{config.file}: model_type {config.model_type!r} cannot be read. {hint}Known: {', '.join(model_types())}. "
        f"Write the fields instead: [architecture] kind, layers, width, heads, kv_heads, feed_forward_width, "
        f"vocabulary, ... or preset = a name from `tonne reference architectures`."
    )
