"""Synthetic hardware: trees of the kernel's files, and a library that stands in for NVIDIA's."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tonne.measure.environment import Roots

HERE = Path(__file__).parent


def _module(name: str):
    """A module beside this file; tests are no package, so that it is loaded by its place."""
    known = sys.modules.get(f"tonne_tests_{name}")
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(f"tonne_tests_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def powercap():
    """The module that builds trees and traces."""
    return _module("powercap")


@pytest.fixture
def tree(powercap, tmp_path):
    """An empty powercap tree whose clock is the test's."""
    return powercap.Tree(tmp_path / "powercap")


@pytest.fixture
def bare(tmp_path) -> Roots:
    """Roots under which there is nothing at all."""
    nowhere = tmp_path / "nowhere"
    return Roots(powercap=nowhere, hwmon=nowhere, proc=nowhere, sys=nowhere)
