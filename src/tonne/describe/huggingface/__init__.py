"""A config.json of transformers -> the fields of an Architecture."""

from __future__ import annotations

from tonne.describe.huggingface.reading import architecture_fields as architecture_fields
from tonne.describe.huggingface.reading import model_types as model_types

__all__ = ["architecture_fields", "model_types"]
