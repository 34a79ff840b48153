"""Readers of config.json: encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonne.describe.huggingface.config import Config

READERS: dict[str, Callable[[Config], dict[str, Any]]] = {}
