"""Weights from and to folders as transformers saves them."""

from __future__ import annotations

from tonne.model.huggingface.exporting import to_huggingface as to_huggingface
from tonne.model.huggingface.reading import from_huggingface as from_huggingface

__all__ = ["from_huggingface", "to_huggingface"]
