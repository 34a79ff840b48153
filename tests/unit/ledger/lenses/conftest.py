"""Runs made by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

MADE = Path(__file__).resolve().parents[2] / "made_runs.py"


def _made():
    spec = importlib.util.spec_from_file_location("tonne_tests_made_runs", MADE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def run():
    return _made().run


@pytest.fixture(scope="session")
def account():
    return _made().account


@pytest.fixture(scope="session")
def estimate():
    return _made().estimate
