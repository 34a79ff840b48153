"""Accounts by hand, importable by the tests beside it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

NAME = "reconcile_accounts"


def _load() -> None:
    spec = importlib.util.spec_from_file_location(NAME, Path(__file__).parent / f"{NAME}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)


if NAME not in sys.modules:
    _load()
