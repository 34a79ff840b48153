"""Readers of config.json: decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonne.describe.huggingface import decoders_classic, decoders_llama
from tonne.describe.huggingface.config import Config

READERS: dict[str, Callable[[Config], dict[str, Any]]] = decoders_classic.READERS | decoders_llama.READERS
